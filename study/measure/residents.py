"""Keep engines loaded between their turns: all variants of a model, one of which is asked at a time.

They are started together, several at once where there are CPUs for it, and never while a cell is measured. Where memory
does not hold them all, or turns out not to, each is started for its turn and stopped after it, as without any of this.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from configs.restarts import Resident
from server.engines.engine import Engine, free_port
from server.engines.engine_spec import EngineSpec
from server.engines.memory import NoRoomError, looks_short
from starwatt_errors import EngineError
from study.measure.engine_session import EngineSession, Started
from study.measure.retries import Measure, RetryBudget
from study.measure.shared_memory import on_boards, refuse_without_room, with_shares
from study.plan.cells import PlannedCell, first_of_each_start
from traces.cell import CoolStart

_CPUS_A_START = 1
"""Imports, which are most of a start, keep one busy."""


@dataclass
class Residents:
    """Keep the engines of one process loaded, until ``close``."""

    session: EngineSession
    restarts: Resident
    cells: Sequence[PlannedCell]
    """All that are going to be measured."""
    budget: RetryBudget
    _together: tuple[str, int] | None = None
    """Model, and which start of all its engines."""
    _specs: dict[int, EngineSpec] = field(default_factory=dict)
    """What is loaded together, by the plan's number of the engine start, as what follows."""
    _loaded: dict[int, Started] = field(default_factory=dict)
    _failed: dict[int, EngineError] = field(default_factory=dict)
    """Starts that came to nothing, for which no cell has paid yet."""
    _one_by_one: bool = False
    """Whether memory does not hold them beside each other."""

    @contextmanager
    def open_engine(self, cells: Sequence[PlannedCell]) -> Iterator[Measure]:
        """Yield what measures these cells on their engine, which stays loaded unless one of them fails.

        Raises:
            EngineError: it did not start, does not answer, or died.
        """
        first = cells[0]
        self._load_all(first)
        self._clear_up()
        started = None
        if first.variant not in self.session.study.remote and not self._one_by_one:
            started = self._engine_of(first)
        if started is None:
            with self.session.open_engine(cells, residents=self._pids()) as alone:
                yield alone
            return
        measure_one = self.session.turn_of(started, first, residents=self._pids(besides=first.engine_start))

        def measure(cell: PlannedCell) -> None:
            self._clear_up(besides=first.engine_start)
            measure_one(cell)

        try:
            yield measure
        except BaseException:
            self._unload(first.engine_start)
            raise

    def close(self) -> None:
        """Stop all of them, at once."""
        for started in self._loaded.values():
            started.engine.process.terminate()
        for number in list(self._loaded):
            self._unload(number)

    def _load_all(self, first: PlannedCell) -> None:
        """Start the engines that are loaded together with that of ``first``, unless they are."""
        together = self._start_of(first)
        if together == self._together:
            return
        self.close()
        self._together, self._specs, self._failed = None, {}, {}
        wanted = [
            cell
            for cell in first_of_each_start(self.cells)
            if self._start_of(cell) == together
            and cell.variant not in self.session.study.remote
            and self.budget.never_came_up(cell) is None
        ]
        if wanted and not self._one_by_one:
            names = ", ".join(cell.variant for cell in wanted)
            self.session.display.title(f"starting {len(wanted)} engines: {names}")
            try:
                self._start_together(wanted)
            except NoRoomError as error:
                self._fall_back(str(error))
        self._together = together

    def _start_of(self, cell: PlannedCell) -> tuple[str, int]:
        return cell.key.model, self.restarts.start_of(cell.key.block)

    def _start_together(self, wanted: Sequence[PlannedCell]) -> None:
        """Start engines that are to be loaded beside each other.

        Raises:
            NoRoomError: memory does not hold them, or turned out not to.
        """
        session, left = self.session, list(wanted)
        allotments = [session.allotment(cell) for cell in wanted]
        specs = [session.spec(*both) for both in zip(wanted, allotments, strict=True)]
        if on_boards():
            specs = with_shares(session.study, allotments, specs)
        self._specs = {cell.engine_start: spec for cell, spec in zip(wanted, specs, strict=True)}
        widest = max(allotments, key=lambda allotment: len(allotment.meters.gpus or ()))
        session.release_boards()
        cool_start = session.cool_down(widest.meters)
        if not on_boards():
            while left and not self._loaded:  # one that runs shows what one takes
                self._start([left.pop(0)], cool_start)
            for started in self._loaded.values():
                refuse_without_room(started.engine, [self._specs[cell.engine_start] for cell in left])
        at_once = max(len(os.sched_getaffinity(0)) // _CPUS_A_START, 1)
        for place in range(0, len(left), at_once):
            self._start(left[place : place + at_once], cool_start)
        time.sleep(session.study.phases.rest_s)

    def _start(self, wanted: Sequence[PlannedCell], cool_start: CoolStart | None) -> None:
        """Start engines at once; what becomes of each stands in ``_loaded`` or ``_failed``; raises NoRoomError."""
        for first in wanted:
            with self._noted(first):
                spec = replace(self._specs[first.engine_start], port=free_port())
                allotment = self.session.allotment(first)
                engine = Engine.start(spec, self.session.log_of(first).resolve())
                self._loaded[first.engine_start] = Started(engine, allotment, cool_start)
        for first in wanted:
            if first.engine_start in self._loaded:
                with self._noted(first):
                    self._loaded[first.engine_start].engine.wait_ready(self.session.display.status)

    @contextmanager
    def _noted(self, first: PlannedCell) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            self._unload(first.engine_start)
            if looks_short(error):
                raise NoRoomError(str(error)) from error
            self._failed[first.engine_start] = error

    def _engine_of(self, first: PlannedCell) -> Started | None:
        """Return the engine whose turn it is, started anew where it is no longer loaded; None where it is to be alone.

        Raises:
            EngineError: it does not come up, and not for want of memory.
        """
        number = first.engine_start
        if error := self._failed.pop(number, None):
            raise error
        if number not in self._loaded:
            self._start_beside(first)
        return self._loaded.get(number)

    def _clear_up(self, besides: int | None = None) -> None:
        """Stop what is left of engines that have ended: their children would be strangers on the board."""
        for number, started in list(self._loaded.items()):
            try:
                if number != besides:
                    started.engine.check_alive("while it was loaded and nobody asked it")
            except EngineError as error:
                self.session.display.log(
                    f"{started.engine.spec.variant.name} is started anew at its turn: {error}"
                )
                self._unload(number)

    def _start_beside(self, first: PlannedCell) -> None:
        """Start one anew beside the others, with whose contexts on it no board is as cool as it was."""
        session = self.session
        session.release_boards()
        session.display.title(f"starting the engine of {first.variant}")
        try:
            self._start([first], None)
        except NoRoomError as error:
            self._fall_back(str(error))
        error_there = self._failed.pop(first.engine_start, None)
        if error_there is not None and error_there.cause is not None:
            raise error_there
        if error_there is not None:  # the kernel kills for want of memory, and then nobody says so
            self._fall_back(str(error_there))
        time.sleep(session.study.phases.rest_s)

    def _fall_back(self, why: str) -> None:
        self.close()
        self._one_by_one = True
        self.session.display.log(f"engines do not stay loaded, and each is started for its turn: {why}")

    def _unload(self, number: int) -> None:
        started = self._loaded.pop(number, None)
        if started is not None:
            started.engine.stop()

    def _pids(self, besides: int | None = None) -> tuple[int, ...]:
        return tuple(
            started.engine.process.pid for number, started in self._loaded.items() if number != besides
        )
