"""Units of cells that other processes measure: what is left of each, and what a lost one means for its cells.

What counts as done is on disk: a cell whose ``cell.json`` is there. A process that has ended without all of its cells
was lost, whatever became of it. If it had measured none, that is a failed try of each cell that it leaves; otherwise
of the one that it was at; and of none where it has itself given up cells. So a unit is begun again a bounded number of
times (``attempts``), and never for a cell that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from configs.executor import SideBySide, Slurm
from configs.schema import Study
from study.measure.retries import Patience
from study.plan.cells import PlannedCell
from study.records.disk import full, why_no_room
from traces.attempts import Attempt, note_attempt
from traces.layout import CellKey, RunDir


@dataclass
class Errand:
    """What is wanted of other processes, and who hears of it; its kinds are Slurm's tasks and slots of one machine."""

    run: RunDir
    study: Study
    patience: Patience
    known_reasons: tuple[str, ...]
    """Reason codes that every cell gets, known beforehand."""
    say: Callable[[str], None]
    """A line that stays."""
    announce: Callable[[str], None]
    """What goes on just now."""
    advance: Callable[[PlannedCell], None]
    """Called for each cell that has been measured."""


@dataclass
class Unit:
    """Cells that one process measures, in their order."""

    name: str
    cells: Sequence[PlannedCell]
    begun_with: frozenset[CellKey] = frozenset()
    """Cells that it lacked when it was begun last."""


def units_of(study: Study, cells: Sequence[PlannedCell]) -> list[Unit]:
    """What one process each measures: all variants of a block, or the cells of one engine start."""
    assert isinstance(study.executor, Slurm | SideBySide)  # noqa: S101 -- the caller has looked
    by_block = study.executor.unit == "block" and study.engine_restarts == "each_block"

    def name(cell: PlannedCell) -> str:
        return f"b{cell.key.block}" if by_block else f"start{cell.engine_start}"

    return [Unit(unit, list(group)) for unit, group in groupby(cells, key=name)]


@dataclass
class Ledger:
    """Which cells are there, in a run that others fill; ``advance`` is told of each new one."""

    run: RunDir
    patience: Patience
    advance: Callable[[PlannedCell], None]
    _counted: set[CellKey] = field(default_factory=set)

    def left(self, unit: Unit) -> list[PlannedCell]:
        """Its cells that are neither measured nor given up, in their order."""
        given_up = self.patience.given_up()
        return [cell for cell in unit.cells if not self.there(cell) and cell.key not in given_up]

    def begin(self, unit: Unit) -> list[CellKey]:
        """Remember what it lacks now; these cells."""
        keys = [cell.key for cell in self.left(unit)]
        unit.begun_with = frozenset(keys)
        return keys

    def count(self, units: Sequence[Unit]) -> None:
        """Tell of cells that have been measured since."""
        for cell in (cell for unit in units for cell in unit.cells):
            if cell.key not in self._counted and self.there(cell):
                self._counted.add(cell.key)
                self.advance(cell)

    def lost(self, unit: Unit, problem: str) -> int:
        """The unit's process has ended: cells that it leaves have failed once more; how many there are.

        Raises:
            RunError: the disk is full, and that is no cell's failure.
        """
        if (said := why_no_room(self.run.root)) is not None:
            raise full(self.run.root, said)
        left = self.left(unit)
        has_noted_its_own = not unit.begun_with.isdisjoint(self.patience.given_up())
        if not has_noted_its_own:
            progressed = len(left) < len(unit.begun_with)
            for cell in left[:1] if progressed else left:
                note_attempt(self.run, Attempt.now(cell.key, problem))
        return len(left)

    def there(self, cell: PlannedCell) -> bool:
        """Whether it has been measured."""
        return (self.run.cell(cell.key) / "cell.json").is_file()
