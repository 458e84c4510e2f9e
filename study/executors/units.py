"""Units of cells that one process measures: what is left of each, and what a lost process means for its cells.

What counts as done is on disk: a cell whose ``cell.json`` is there. A process that has ended without all of its cells
was lost, whatever became of it. If it had measured none, that is a failed try of each cell that it leaves; otherwise
of the one that it was at; and of none where it has itself given up cells. So a unit is begun again a bounded number of
times (``attempts``), and never for a cell that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from configs.restarts import Resident
from configs.schema import Study
from starwatt_errors import TraceError
from study.measure.retries import RetryBudget
from study.plan.cells import PlannedCell
from study.records.disk import full, why_no_room
from traces.attempts import Attempt, note_attempt
from traces.cell import Node, read_cell
from traces.layout import CellKey, RunDir


@dataclass(eq=False)
class Unit:
    """Cells that one process measures, in their order, with those that are there already."""

    name: str
    cells: Sequence[PlannedCell]
    node: Node | None = None
    """Where its first cells were measured, and the others are to be."""
    begun_with: frozenset[CellKey] = frozenset()
    """Cells that it lacked when it was begun last."""


def units_of(study: Study, cells: Sequence[PlannedCell], *, by_block: bool) -> list[Unit]:
    """Put all variants of a block into one each, or with ``engine_restarts: once`` the cells of one engine start.

    Where engines stay loaded beside each other, a unit is what they measure between two starts of all.
    """
    restarts = study.engine_restarts
    by_block = by_block and restarts == "each_block"

    def name(cell: PlannedCell) -> str:
        if isinstance(restarts, Resident):
            return f"starts{restarts.start_of(cell.key.block)}"
        return f"b{cell.key.block}" if by_block else f"start{cell.engine_start}"

    return [Unit(unit, list(group)) for unit, group in groupby(cells, key=name)]


def node_of(run: RunDir, cell: PlannedCell) -> Node | None:
    """Read where a cell was measured; None where it is missing."""
    try:
        return read_cell(run.cell(cell.key)).node
    except TraceError:  # the analysis names what is damaged; it must not end the study
        return None


@dataclass
class Ledger:
    """Know which cells are there, in a run that others fill; ``advance`` is told of each new one."""

    run: RunDir
    budget: RetryBudget
    advance: Callable[[PlannedCell], None]
    measured: int = 0
    """Cells that are there since this ledger is kept."""
    _known: set[CellKey] = field(default_factory=set)

    def open(self, units: Sequence[Unit]) -> list[Unit]:
        """Take note of the cells that are there; return units with cells left, each with its node."""
        self._known.update(
            cell.key for unit in units for cell in unit.cells if self.run.is_measured(cell.key)
        )
        waiting = [unit for unit in units if self.left(unit)]
        for unit in waiting:
            self.find_node(unit)
        return waiting

    def find_node(self, unit: Unit) -> None:
        """Note the node of its first cell that is there and reads, where there is one."""
        nodes = (node_of(self.run, cell) for cell in unit.cells if self.run.is_measured(cell.key))
        unit.node = unit.node or next(filter(None, nodes), None)

    def left(self, unit: Unit) -> list[PlannedCell]:
        """List its cells that are neither measured nor given up, in their order."""
        given_up = self.budget.given_up()
        return [
            cell for cell in unit.cells if not self.run.is_measured(cell.key) and cell.key not in given_up
        ]

    def begin(self, unit: Unit) -> bool:
        """Remember what it lacks now; say whether that is anything."""
        unit.begun_with = frozenset(cell.key for cell in self.left(unit))
        return bool(unit.begun_with)

    def note(self, cell: PlannedCell) -> None:
        """Note that a cell has been measured."""
        if cell.key not in self._known:
            self._known.add(cell.key)
            self.measured += 1
            self.advance(cell)

    def count(self, units: Iterable[Unit]) -> None:
        """Note what has been measured since by others."""
        for cell in (cell for unit in units for cell in unit.cells):
            if cell.key not in self._known and self.run.is_measured(cell.key):
                self.note(cell)

    def lost(self, unit: Unit, problem: str) -> int:
        """Note that the unit's process has ended: cells that it leaves have failed once more; return their number.

        Raises:
            RunError: the disk is full, and that is no cell's failure.
        """
        if (said := why_no_room(self.run.root)) is not None:
            raise full(self.run.root, said)
        left = self.left(unit)
        has_noted_its_own = not unit.begun_with.isdisjoint(self.budget.given_up())
        if not has_noted_its_own:
            progressed = len(left) < len(unit.begun_with)
            for cell in left[:1] if progressed else left:
                note_attempt(self.run, Attempt.now(cell.key, problem))
        return len(left)
