"""See who is on a GPU: the engine, or others, whose energy would be the engine's too."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import psutil

from server.power.nvidia.binding import pynvml
from server.power.nvidia.board import BoardMeter
from server.power.nvidia.choice import choose
from server.power.nvidia.library import NvmlError, Place, places
from server.power.nvidia.open_files import has_no_board_open
from server.process.fronts import forwarded_to
from traces.clock import now_ns

_SEARCHES_APART = 100  # times what one takes: a hundredth of a CPU
_LONGEST_APART_NS = 10_000_000_000

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
    engine: bool | None = None
    """Whether the engine is on it; None: that cannot be seen."""
    power_w: float | None = None
    """Of a visible board that is not metered: what it draws."""
    metered: bool = True

    def row(self) -> dict[str, Any]:
        """Return the row of the trace ``occupancy``."""
        return {
            "t_ns": self.t_ns, "device": self.device, "state": self.state,
            "pids": list(self.pids), "foreign": list(self.foreign), "engine": self.engine, "power_w": self.power_w,
        }  # fmt: skip


@dataclass(frozen=True)
class _List:
    """The processes of one board: whether any is the engine's, and whether some cannot be told."""

    pids: tuple[int, ...]
    foreign: tuple[int, ...]
    ours: bool
    hidden: bool


class Watch:
    """Looks at the process lists of boards; NVML must be initialised.

    ``gpus`` are those that are metered (the visible ones, unless said): these must answer. All others are looked at
    too, since the engine may be there.

    A list without a single process of the engine proves nothing: a container sees no process ids, or those of another
    namespace. Then it is ``unknown``, unless a process of this machine that is not the engine's stands there. Where the
    engine is seen on one board, it is not on those whose lists do not have it; and an engine that has no board open
    at all (``open_files.py``) is on none.

    The process of an address may be a front: while it has no board open and is on no list, those to which it forwards
    are looked for, and are the engine's from then on. Until one is found, others on a board are no strangers: one of
    them may be the engine.

    ``residents`` are engines of the same study that stay loaded and are not asked meanwhile: they are no strangers. A
    board that holds only them is not the engine's.
    """

    def __init__(
        self, engine_pid: int | None, gpus: Sequence[str] | None = None, residents: Sequence[int] = ()
    ) -> None:
        self._engines = frozenset() if engine_pid is None else frozenset({engine_pid})
        self._residents = residents
        self._boards = choose(gpus).boards
        self._beside = _others(self._boards)
        self._ours: dict[int, bool | None] = {}
        self._searches_from_ns = 0
        self._computes_elsewhere = self._has_no_board()

    def look(self) -> list[Occupancy]:
        """Return every board, now; of those that are not metered, the ones that answer."""
        metered, beside, lists = self._lists()
        if not any(listed.ours for listed in lists) and self._finds_who_is_behind(lists):
            metered, beside, lists = self._lists()
        present = {pid for listed in lists for pid in listed.pids}
        self._ours = {pid: ours for pid, ours in self._ours.items() if pid in present}
        seen = any(listed.ours for listed in lists)
        looks = [self._occupancy(board, listed, seen=seen) for board, listed in metered]
        for board, meter, listed in beside:
            power_w = None if meter is None else _watts(meter)
            look = self._occupancy(board, listed, seen=seen)
            looks.append(replace(look, power_w=power_w, metered=False))
        return looks

    def _lists(
        self,
    ) -> tuple[list[tuple[Place, _List]], list[tuple[Place, BoardMeter | None, _List]], list[_List]]:
        """List those of the metered boards, which must answer, those of the others, and all of them."""
        metered = [(board, self._list(board)) for board in self._boards]
        beside = []
        for board, meter in self._beside:
            with suppress(NvmlError):
                beside.append((board, meter, self._list(board)))
        return metered, beside, [listed for _, listed in metered] + [listed for _, _, listed in beside]

    def _finds_who_is_behind(self, lists: Sequence[_List]) -> bool:
        """Tell whether the engine's process is a front, and some were found to which it forwards."""
        wanted = self._computes_elsewhere or any(listed.foreign for listed in lists)
        before_ns = now_ns()
        if not wanted or before_ns < self._searches_from_ns:
            return False
        behind = frozenset(pid for engine in self._engines for pid in forwarded_to(engine)) - self._engines
        self._searches_from_ns = now_ns() + min(_SEARCHES_APART * (now_ns() - before_ns), _LONGEST_APART_NS)
        if behind:
            self._engines |= behind
            self._ours.clear()
            self._computes_elsewhere = self._has_no_board()
        return bool(behind)

    def _has_no_board(self) -> bool:
        return bool(self._engines) and all(has_no_board_open(pid) is True for pid in self._engines)

    def _list(self, board: Place) -> _List:
        compute = board.ask(pynvml.nvmlDeviceGetComputeRunningProcesses)
        graphics = board.ask(pynvml.nvmlDeviceGetGraphicsRunningProcesses)
        pids = {process.pid for process in (*(compute or ()), *(graphics or ()))}
        self._ours |= {pid: self._is_ours(pid) for pid in pids if pid not in self._ours}
        known = {pid: self._ours[pid] for pid in sorted(pids)}
        return _List(
            pids=tuple(known),
            foreign=tuple(pid for pid, ours in known.items() if ours is False and not self._is_resident(pid)),
            ours=any(known.values()),
            hidden=compute is None or None in known.values(),
        )

    def _occupancy(self, board: Place, listed: _List, *, seen: bool) -> Occupancy:
        nowhere = not seen and self._computes_elsewhere
        foreign = () if nowhere else listed.foreign
        state: State = (
            "shared" if foreign else "exclusive" if listed.ours and not listed.hidden else "unknown"
        )
        engine: bool | None = listed.ours or None
        if not listed.ours and ((seen and not listed.hidden) or nowhere):
            engine = False
        return Occupancy(now_ns(), board.uuid, state, listed.pids, foreign, engine)

    def _is_ours(self, pid: int) -> bool | None:
        """None: no such process here, none that may be looked at, or no engine to compare with.

        In a container NVML lists the host's process ids. One that stands for another process here is told by that one's
        having no board open itself: it may be a parent of the engine.
        """
        if not self._engines:
            return None
        with suppress(psutil.Error):
            if not _line_of(pid).isdisjoint(self._engines):
                return True
            return None if has_no_board_open(pid, descendants=False) else False
        return None

    def _is_resident(self, pid: int) -> bool:
        with suppress(psutil.Error):
            return bool(self._residents) and not _line_of(pid).isdisjoint(self._residents)
        return False


def _line_of(pid: int) -> set[int]:
    """Return a process and its parents."""
    return {pid, *(parent.pid for parent in psutil.Process(pid).parents())}


def boards_of(engine_pid: int) -> frozenset[str]:
    """Return UUIDs of the boards on which an engine is seen; none where no list shows it. NVML must be initialised."""
    return frozenset(look.device for look in Watch(engine_pid, ()).look() if look.engine)


def _others(boards: Sequence[Place]) -> list[tuple[Place, BoardMeter | None]]:
    """Return the boards that answer and are none of these; the visible ones with their meter."""
    metered = {board.uuid for board in boards}
    visible: set[str] = set()
    with suppress(NvmlError):
        visible = {place.uuid for place in choose().boards}
    there = [place for place in places() if place.problem is None and place.uuid not in metered]
    return [(place, _meter(place) if place.uuid in visible else None) for place in there]


def _meter(place: Place) -> BoardMeter | None:
    with suppress(NvmlError):
        return BoardMeter(place)
    return None


def _watts(meter: BoardMeter) -> float | None:
    with suppress(NvmlError):
        return meter.read().shown_w
    return None


def named(pids: Sequence[int]) -> str:
    """Return processes for a message: ``4711 (python)``."""
    words = []
    for pid in pids:
        name = "?"
        with suppress(psutil.Error):
            name = psutil.Process(pid).name()
        words.append(f"{pid} ({name})")
    return ", ".join(words)
