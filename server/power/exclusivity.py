"""Who else is on a GPU: processes that are not the engine's make its energy theirs too."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psutil
import pynvml

from server.power.nvml import asked, handle_of, uuid_of, visible_handles
from traces.clock import now_ns

State = Literal["exclusive", "shared", "unknown"]


@dataclass(frozen=True)
class Occupancy:
    """Who is on one board at one instant."""

    t_ns: int
    device: str
    state: State
    pids: tuple[int, ...]
    foreign: tuple[int, ...]
    """Those that are certainly not of the engine."""

    def row(self) -> dict[str, Any]:
        """For the trace ``occupancy``."""
        return {
            "t_ns": self.t_ns, "device": self.device, "state": self.state,
            "pids": list(self.pids), "foreign": list(self.foreign),
        }  # fmt: skip


class Watch:
    """Looks at the process lists of boards; NVML must be initialised.

    A list without a single process of the engine proves nothing: a container sees no process ids, or those of another
    namespace. Then it is ``unknown``, unless a process of this machine that is not the engine's stands there.
    """

    def __init__(self, engine_pid: int | None, gpus: Sequence[str] | None = None) -> None:
        self._engine = engine_pid
        handles = visible_handles() if gpus is None else [handle_of(gpu) for gpu in gpus]
        self._boards = [(handle, uuid_of(handle)) for handle in handles]
        self._ours: dict[int, bool | None] = {}

    def look(self) -> list[Occupancy]:
        """Every board, now."""
        return [self._look_at(handle, uuid) for handle, uuid in self._boards]

    def _look_at(self, handle: Any, uuid: str) -> Occupancy:
        pids: set[int] = set()
        for call in (
            pynvml.nvmlDeviceGetComputeRunningProcesses,
            pynvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            pids |= {process.pid for process in asked(call, handle) or ()}
        self._ours = {pid: self._ours[pid] if pid in self._ours else self._is_ours(pid) for pid in pids}
        foreign = tuple(sorted(pid for pid in pids if self._ours[pid] is False))
        ours = any(self._ours[pid] for pid in pids)
        hidden = any(self._ours[pid] is None for pid in pids)
        state: State = "shared" if foreign else "exclusive" if ours and not hidden else "unknown"
        return Occupancy(now_ns(), uuid, state, tuple(sorted(pids)), foreign)

    def _is_ours(self, pid: int) -> bool | None:
        """None: no such process here, or no engine to compare with."""
        if self._engine is None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            return self._engine in {pid, *(parent.pid for parent in process.parents())}
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
