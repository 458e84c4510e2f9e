"""Keep a study going: a cell that fails is tried again, then given up, and the others are measured all the same.

What fails twice of the same cause is not tried a third time: an engine that dies of it, requests that a server refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from starwatt_errors import EngineError, LoadError, MeterError, RunError, StarwattError, counted
from study.plan.cells import PlannedCell
from study.records.disk import full, why_no_room
from traces.attempts import Attempt, note_attempt, read_attempts
from traces.layout import CellKey, RunDir

Measure = Callable[[PlannedCell], object]
OpenEngine = Callable[[Sequence[PlannedCell]], AbstractContextManager[Measure]]
"""Starts the engine of some cells; what it yields measures one of them. Raises EngineError."""
_TRIED_AGAIN = (EngineError, LoadError, MeterError)


@dataclass(frozen=True)
class RetryBudget:
    """Bound how often a cell is tried, counted over all runners of this directory."""

    run: RunDir
    most: int

    def given_up(self) -> dict[CellKey, Attempt]:
        """Return cells that failed often enough, or twice of the same cause, with their last failure."""
        attempts = read_attempts(self.run)
        return {
            key: tries[-1] for key, tries in attempts.items() if len(tries) >= self.most or tries[-1].final
        }

    def failed(self, cell: PlannedCell, error: StarwattError, *, starting: bool) -> str | None:
        """Note a failure; why the cell is not tried again, or None where it is."""
        earlier = read_attempts(self.run).get(cell.key, [])
        alike = error.cause is not None and bool(earlier) and earlier[-1].cause == error.cause
        note_attempt(
            self.run,
            Attempt.now(cell.key, str(error), cause=error.cause, starting=starting, final=alike),
        )
        if alike:
            return "failed twice of the same cause"
        tries = len(earlier) + 1
        return f"failed {tries} times" if tries >= self.most else None

    def never_came_up(self, cell: PlannedCell) -> Attempt | None:
        """Return the failure of its variant's engine that was twice the same, where nothing of it was ever measured."""
        same = [
            tries[-1]
            for key, tries in read_attempts(self.run).items()
            if (key.model, key.variant) == (cell.key.model, cell.key.variant)
            and tries[-1].final
            and tries[-1].starting
        ]
        if not same or any((self.run.root / "cells" / cell.key.model / cell.key.variant).rglob("cell.json")):
            return None
        return same[-1]


def measure_groups(
    groups: Sequence[Sequence[PlannedCell]],
    open_engine: OpenEngine,
    budget: RetryBudget,
    log: Callable[[str], None],
) -> None:
    """Measure the cells of each engine start; after a failure a new engine is started for those that are left.

    Where the engine itself doesn't start, all of its cells have failed with it.

    Raises:
        RunError: nothing at all could be measured, and the first engine's cells are given up: it will be the machine.
        StarwattError: any other error ends the study at once, such as a full disk.
    """
    measured = 0
    for group in groups:
        left = list(group)
        if _is_hopeless(left, budget, log):
            continue
        while left:
            trying: Sequence[PlannedCell] = tuple(left)
            starting = True
            try:
                with open_engine(tuple(left)) as measure:
                    starting = False
                    while left:
                        trying = left[:1]
                        measure(left[0])
                        del left[0]
                        measured += 1
            except _TRIED_AGAIN as error:
                problem = error
            else:
                break
            if (said := why_no_room(budget.run.root)) is not None:  # a child told of it in words of its own
                raise full(budget.run.root, said) from problem
            log(f"failed: {problem}")
            _give_up(left, trying, problem, budget, log, starting=starting)
            if not left and not measured:
                raise RunError(
                    f"nothing could be measured, and every try has failed; the last said: {problem}\n"
                    "Once that is mended: the same command with --retry-failed"
                ) from problem


def _is_hopeless(left: Sequence[PlannedCell], budget: RetryBudget, log: Callable[[str], None]) -> bool:
    """Say whether these cells are left out without a start: their variant's engine has died twice of the same cause."""
    known = budget.never_came_up(left[0])
    if known is None:
        return False
    said = f"not started a third time: the engine of {left[0].variant} has died twice of the same cause"
    for cell in left:
        attempt = Attempt.now(
            cell.key, f"{said}: {known.error}", cause=known.cause, starting=True, final=True
        )
        note_attempt(budget.run, attempt)
    log(f"{said}; {counted(len(left), 'cell')} left out")
    return True


def _give_up(
    left: list[PlannedCell],
    trying: Sequence[PlannedCell],
    problem: StarwattError,
    budget: RetryBudget,
    log: Callable[[str], None],
    *,
    starting: bool,
) -> None:
    """Take away from ``left`` what has failed too often; a cell that was measured before its engine fell has not."""
    for cell in [cell for cell in trying if cell in left]:
        why = budget.failed(cell, problem, starting=starting)
        if why is not None:
            left.remove(cell)
            log(f"{cell.key}: {why}, and is left out (attempts.jsonl has the reasons)")
