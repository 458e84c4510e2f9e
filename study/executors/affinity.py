"""Where units that have been begun were measured: they go on there, for their cells are compared, and boards differ."""

from __future__ import annotations

from collections.abc import Sequence, Set

from configs.schema import Study
from starwatt_errors import TraceError
from study.executors.units import Ledger, Unit, units_of
from study.plan.cells import PlannedCell, plan_cells
from traces.cell import Node, read_cell


def all_units(study: Study) -> list[Unit]:
    """Those of the whole plan, with the cells that are there too."""
    return units_of(study, plan_cells(study, tasks=1))


def homes_of(ledger: Ledger, units: Sequence[Unit], wanted: Set[str]) -> dict[str, Node]:
    """By the names of ``wanted`` units: the node of the first cell that is there and reads, where there is one."""
    homes = {}
    for unit in (one for one in units if one.name in wanted):
        node = next(filter(None, (_node(ledger, cell) for cell in unit.cells if ledger.there(cell))), None)
        if node is not None:
            homes[unit.name] = node
    return homes


def _node(ledger: Ledger, cell: PlannedCell) -> Node | None:
    try:
        return read_cell(ledger.run.cell(cell.key)).node
    except TraceError:  # analysis names it (trace_damaged); it must not end the study
        return None
