"""The report's table of money and carbon: measured energy, and beside it what stated factors make of it."""

from __future__ import annotations

from analysis.report.tables.table import TextTable
from analysis.results.costs import CostRow, Factors, cost_rows
from analysis.results.points import Results
from analysis.results.sentences import with_bounds

_LABELS = ("model", "variant", "load", "of")


def costs_table(results: Results, factors: Factors) -> TextTable:
    """Return a row a condition and thing that was done, a column a quantity; what is stated is in the column's title.

    What no condition has, such as solved tasks of random weights, has no rows: why is among what was left out.
    """
    costs_of_all = cost_rows(results, factors)
    known = {cost.per for cost in costs_of_all if cost.value is not None}
    by_row: dict[tuple[str, ...], dict[str, CostRow]] = {}
    for cost in costs_of_all:
        if cost.per not in known:
            continue
        title = _title(cost, estimated=results.estimated)
        by_row.setdefault((*cost.condition, cost.per), {})[title] = cost
    titles = list(dict.fromkeys(title for costs in by_row.values() for title in costs))
    rows = tuple((*key, *(_words(costs[title]) for title in titles)) for key, costs in by_row.items())
    return TextTable((*_LABELS, *titles), rows, len(_LABELS))


def _title(cost: CostRow, *, estimated: bool) -> str:
    name = f"{cost.quantity}, {cost.unit}" if cost.unit else cost.quantity
    if cost.stated:
        return f"{name} (stated: {cost.stated})"
    return f"{name} ({'estimated' if estimated else 'measured'})"


def _words(cost: CostRow) -> str:
    return "–" if cost.value is None else with_bounds(cost.value, *(cost.bounds or (None, None)))
