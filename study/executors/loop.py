"""The one loop that measures a study: it hands out units, counts cells, and begins anew what was lost.

A unit that has cells already resumes where these were measured: they are compared with each other, and boards differ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.process.spawn import last_lines
from starwatt_errors import RunError
from study.executors.executor import Ended, Executor, ExecutorContext
from study.executors.units import Ledger, Unit
from study.measure.checkpoints import Checkpoints
from study.measure.study_run import StudyRun
from study.plan.cells import PlannedCell, expected_s
from study.progress.display import Display, tell
from study.progress.exporter import Exporter

_COUNT_S = 2.0
"""How often new cells are looked for, which takes a look at many files beside engines that are being measured."""
_LAST_LINES = 8


def measure_all(
    executor: Executor,
    study_run: StudyRun,
    checkpoints: Checkpoints,
    known_reasons: tuple[str, ...],
    exporter: Exporter | None = None,
) -> None:
    """Measure every cell that is missing, or give up what fails too often; then what is measured once more.

    Raises:
        UsageError: what the study names is not here.
        RunError: nothing at all could be measured, or the disk is full.
        StarwattError: any other error that ends a study.
    """
    todo = study_run.todo()
    each_s = expected_s(todo)
    at_once = executor.at_once
    estimate_s = None if at_once is None else sum(each_s.values()) / at_once

    def advance(cell: PlannedCell) -> None:
        display.advance(str(cell.key), estimate_s=each_s.get(cell.key, 0.0) / (at_once or 1))
        if exporter is not None:
            exporter.measured()

    with Display("cell", len(todo), estimate_s=estimate_s) as display:
        ledger = Ledger(study_run.run, study_run.budget, advance)
        context = ExecutorContext(study_run, checkpoints, known_reasons, ledger, display, exporter)
        measure_units(executor, context, executor.units(study_run.cells))
        executor.measure_again(context)


def measure_units(executor: Executor, context: ExecutorContext, units: Sequence[Unit]) -> None:
    """Measure what these units lack; whatever ends this, nothing that was begun is left.

    Raises:
        RunError: as ``measure_all``.
    """
    try:
        _Loop(executor, context).measure(context.ledger.open(units))
    except BaseException:
        executor.end_all()
        raise


@dataclass
class _Loop:
    executor: Executor
    context: ExecutorContext
    _running: list[Unit] = field(default_factory=list)
    _counted_s: float = 0.0
    _used: set[str] = field(default_factory=set)
    """Places, and those of them that could measure nothing."""
    _useless: set[str] = field(default_factory=set)

    def measure(self, waiting: list[Unit]) -> None:
        self._running += self.executor.adopt(waiting)
        for unit in self._running:
            waiting.remove(unit)
            self.context.ledger.begin(unit)
        while waiting or self._running:
            self._hand_out(waiting)
            time.sleep(self.executor.poll_s)
            ended = self.executor.poll()
            self._count()
            waiting += [end.unit for end in ended if self._is_lost(end)]
            if self.executor.status:
                self.context.display.status(self.executor.status)

    def _hand_out(self, waiting: list[Unit]) -> None:
        for place, units in self.executor.free(waiting):
            for unit in units:
                waiting.remove(unit)
            begun = [unit for unit in units if self.context.ledger.begin(unit)]
            if begun:
                self._running += begun
                self._used.add(place)
                self.executor.start(self.context, place, begun)

    def _count(self) -> None:
        if time.monotonic() - self._counted_s >= _COUNT_S:
            self._counted_s = time.monotonic()
            self.context.ledger.count(self._running)

    def _is_lost(self, ended: Ended) -> bool:
        """Say whether it has left cells that are to be tried again."""
        ledger, unit = self.context.ledger, ended.unit
        self._running.remove(unit)
        ledger.count([unit])
        if ended.useless:
            self._useless.add(ended.place)
        hopeless = ended.useless and not ledger.measured and self._useless == self._used
        if not (ended.final or hopeless or ledger.left(unit)):
            return False
        printed = "" if ended.log is None else last_lines(ended.log, _LAST_LINES)
        if ended.final or hopeless:
            raise RunError(f"{ended.process}: unit {unit.name} ended; it last said:\n{printed}")
        problem = (
            f"{ended.process} ended{ended.how} before it had measured this cell; it last said:\n{printed}"
        )
        left = ledger.lost(unit, problem)
        tell(f"  {ended.process}: unit {unit.name} was lost with {left} cells left{ended.how}")
        ledger.find_node(unit)
        return True
