"""Where units that have been begun were measured: they go on there, for their cells are compared, and boards differ."""

from __future__ import annotations

from collections.abc import Sequence, Set

from configs.schema import Study
from study.plan import plan_cells
from study.units import Ledger, Unit, units_of
from traces.cell import Node, read_cell


def all_units(study: Study) -> list[Unit]:
    """Those of the whole plan, with the cells that are there too."""
    return units_of(study, plan_cells(study, tasks=1))


def homes_of(ledger: Ledger, units: Sequence[Unit], wanted: Set[str]) -> dict[str, Node]:
    """By the names of ``wanted`` units: the node of the first cell that is there; nothing for those without one."""
    homes = {}
    for unit in (one for one in units if one.name in wanted):
        there = next((cell for cell in unit.cells if ledger.there(cell)), None)
        node = None if there is None else read_cell(ledger.run.cell(there.key)).node
        if node is not None:
            homes[unit.name] = node
    return homes
