"""Keeps a study going: a cell that fails is tried again, then given up, and the others are measured all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from starwatt_errors import EngineError, LoadError, MeterError, RunError
from study.disk import full, why_no_room
from study.plan import PlannedCell
from traces.attempts import Attempt, note_attempt, read_attempts
from traces.layout import CellKey, RunDir

Measure = Callable[[PlannedCell], object]
OpenEngine = Callable[[Sequence[PlannedCell]], AbstractContextManager[Measure]]
"""Starts the engine of some cells; what it yields measures one of them. Raises EngineError."""
_TRIED_AGAIN = (EngineError, LoadError, MeterError)


@dataclass(frozen=True)
class Patience:
    """How often a cell is tried, counted over all runners of this directory."""

    run: RunDir
    most: int

    def given_up(self) -> dict[CellKey, Attempt]:
        """Cells that failed often enough, with their last failure."""
        attempts = read_attempts(self.run)
        return {key: tries[-1] for key, tries in attempts.items() if len(tries) >= self.most}

    def failed(self, cell: PlannedCell, error: Exception) -> int:
        """Note a failure; how many there were."""
        note_attempt(self.run, Attempt.now(cell.key, str(error)))
        return len(read_attempts(self.run)[cell.key])


def measure_groups(
    groups: Sequence[Sequence[PlannedCell]],
    open_engine: OpenEngine,
    patience: Patience,
    say: Callable[[str], None],
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
        while left:
            trying: Sequence[PlannedCell] = tuple(left)
            try:
                with open_engine(tuple(left)) as measure:
                    while left:
                        trying = left[:1]
                        measure(left[0])
                        del left[0]
                        measured += 1
            except _TRIED_AGAIN as error:
                problem = error
            else:
                break
            if (said := why_no_room(patience.run.root)) is not None:  # a child told of it in words of its own
                raise full(patience.run.root, said) from problem
            say(f"failed: {problem}")
            _give_up(left, trying, problem, patience, say)
            if not left and not measured:
                raise RunError(
                    f"nothing could be measured, and {patience.most} tries have failed; the last said: {problem}\n"
                    "Once that is mended: the same command with --retry-failed"
                ) from problem


def _give_up(
    left: list[PlannedCell],
    trying: Sequence[PlannedCell],
    problem: Exception,
    patience: Patience,
    say: Callable[[str], None],
) -> None:
    """Take away from ``left`` what has failed too often; a cell that was measured before its engine fell has not."""
    for cell in [one for one in trying if one in left]:
        tries = patience.failed(cell, problem)
        if tries >= patience.most:
            left.remove(cell)
            say(f"{cell.key}: failed {tries} times, and is left out (attempts.jsonl has the reasons)")
