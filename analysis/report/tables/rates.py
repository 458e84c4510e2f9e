"""The report's table of highest rates: what each search found, block by block, and what a good request costs there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analysis.metrics import metric
from analysis.report.tables.table import Columns, TextTable, percent, table_of
from analysis.results.headline import significant, with_bounds
from analysis.results.points import Contrast, Point, Results
from analysis.results.rates import GOOD_J, RATE, rates_found


def highest_rates_table(results: Results, model: str) -> TextTable:
    """Return a row a variant and load that looks for its rate; without rows where no load does."""
    rates = rates_found(results)
    points = [point for point in results.points if point.model == model and point.condition in rates]
    against = {
        contrast.side: contrast for contrast in results.of(model, "board_vs_reference", "variant_vs_baseline")
    }
    columns: Columns[Point] = (
        ("variant", lambda point: point.variant),
        ("load", lambda point: point.load),
        (f"{metric(RATE).label}, {metric(RATE).unit}", _mean_of(RATE)),
        ("each block (and its search's interval)", lambda point: _each_block(rates[point.condition])),
        (metric("good_share").label, lambda point: percent(point.mean("good_share"))),
        (metric(GOOD_J).titled, _mean_of(GOOD_J)),
        ("rate over the reference's", lambda point: _ratio(against.get(point.condition), RATE)),
        ("J/request in slo over the reference's", lambda point: _ratio(against.get(point.condition), GOOD_J)),
        ("blocks", lambda point: f"{len(point.values.get(RATE, ()))} of {point.blocks}"),
        ("reasons", lambda point: ", ".join(point.why((RATE, "good_share")))),
    )
    return table_of(columns, points, 2)


def _mean_of(name: str) -> Callable[[Point], str]:
    return lambda point: with_bounds(point.mean(name), *(point.interval(name) or (None, None)))


def _each_block(rows: Mapping[int, Mapping[str, object]]) -> str:
    return "; ".join(_found(row) for _, row in sorted(rows.items()))


def _found(row: Mapping[str, object]) -> str:
    value, lo, hi = (_number(row[name]) for name in ("value", "lo", "hi"))
    if value is None:
        return "none"
    if hi is None:
        return f"at least {significant(value)}"
    return with_bounds(value, lo, hi)


def _number(value: object) -> float | None:
    return value if isinstance(value, float) else None


def _ratio(contrast: Contrast | None, name: str) -> str:
    row = {} if contrast is None else contrast.metrics.get(f"{name}_ratio", {})
    return with_bounds(*(row.get(end) for end in ("value", "lo", "hi")))
