"""See who else is on a GPU: processes that are not the engine's make its energy theirs too."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psutil

from server.power.binding import pynvml
from server.power.choice import choose
from server.power.library import Place
from traces.clock import now_ns

State = Literal["exclusive", "shared", "unknown"]


@dataclass(frozen=True)
class Occupancy:
    """Say who is on one board at one instant."""

    t_ns: int
    device: str
    state: State
    pids: tuple[int, ...]
    foreign: tuple[int, ...]
    """Those that are certainly not of the engine."""

    def row(self) -> dict[str, Any]:
        """Return the row of the trace ``occupancy``."""
        return {
            "t_ns": self.t_ns, "device": self.device, "state": self.state,
            "pids": list(self.pids), "foreign": list(self.foreign),
        }  # fmt: skip


class Watch:
    """Looks at the process lists of boards (``gpus``, or the visible ones); NVML must be initialised.

    A list without a single process of the engine proves nothing: a container sees no process ids, or those of another
    namespace. Then it is ``unknown``, unless a process of this machine that is not the engine's stands there.
    ``residents`` are engines of the same study that stay loaded and are not asked meanwhile: they count as ours.
    """

    def __init__(
        self, engine_pid: int | None, gpus: Sequence[str] | None = None, residents: Sequence[int] = ()
    ) -> None:
        self._engine = engine_pid
        self._residents = residents
        self._boards = choose(gpus).boards
        self._ours: dict[int, bool | None] = {}

    def look(self) -> list[Occupancy]:
        """Every board, now."""
        return [self._look_at(board) for board in self._boards]

    def _look_at(self, board: Place) -> Occupancy:
        compute = board.ask(pynvml.nvmlDeviceGetComputeRunningProcesses)
        graphics = board.ask(pynvml.nvmlDeviceGetGraphicsRunningProcesses)
        pids = {process.pid for process in (*(compute or ()), *(graphics or ()))}
        self._ours = {pid: self._ours[pid] if pid in self._ours else self._is_ours(pid) for pid in pids}
        foreign = tuple(sorted(pid for pid in pids if self._ours[pid] is False))
        ours = any(self._ours[pid] for pid in pids)
        hidden = compute is None or any(self._ours[pid] is None for pid in pids)
        state: State = "shared" if foreign else "exclusive" if ours and not hidden else "unknown"
        return Occupancy(now_ns(), board.uuid, state, tuple(sorted(pids)), foreign)

    def _is_ours(self, pid: int) -> bool | None:
        """None: no such process here, none that may be looked at, or no engine to compare with."""
        if self._engine is None:
            return None
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            line = {pid, *(parent.pid for parent in process.parents())}
            return not line.isdisjoint((self._engine, *self._residents))
        return None


def named(pids: Sequence[int]) -> str:
    """Processes for a message: ``4711 (python)``."""
    words = []
    for pid in pids:
        name = "?"
        with contextlib.suppress(psutil.Error):
            name = psutil.Process(pid).name()
        words.append(f"{pid} ({name})")
    return ", ".join(words)
