"""The report's table of highest rates: what each search found, block by block, and what a good request costs there."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.metrics import metric
from analysis.report.tables.table import LOAD, VARIANT, Columns, TextTable, each_of, share_of, table_of
from analysis.results.points import Contrast, Point, Results
from analysis.results.rates import GOOD_J, RATE, rates_found
from analysis.results.sentences import mean_words, row_words, significant, with_bounds


def highest_rates_table(results: Results, model: str) -> TextTable:
    """Return a row a variant and load that looks for its rate; without rows where no load does."""
    rates = rates_found(results)
    points = [point for point in results.points_of(model) if point.condition in rates]
    against = {
        contrast.side: contrast for contrast in results.of(model, "board_vs_reference", "variant_vs_baseline")
    }
    columns: Columns[Point] = (
        VARIANT,
        LOAD,
        (f"{metric(RATE).label}, {metric(RATE).unit}", lambda point: mean_words(point, RATE)),
        ("each block (and its search's interval)", lambda point: _each_block(rates[point.condition])),
        *each_of(["good_share"], share_of),
        (metric(GOOD_J).titled, lambda point: mean_words(point, GOOD_J)),
        ("rate over the reference's", lambda point: _ratio(against.get(point.condition), RATE)),
        ("J/request in slo over the reference's", lambda point: _ratio(against.get(point.condition), GOOD_J)),
        ("blocks", lambda point: f"{len(point.values.get(RATE, ()))} of {point.blocks}"),
        ("reasons", lambda point: ", ".join(point.why((RATE, "good_share")))),
    )
    return table_of(columns, points, 2)


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
    return row_words({} if contrast is None else contrast.metrics.get(f"{name}_ratio", {}))
