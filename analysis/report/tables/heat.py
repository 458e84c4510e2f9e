"""Variant x load at one glance: J/request, its ratio to the baseline, and pass@1, each with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.keys import Condition
from analysis.results.points import Bounds, Contrast, Point, Results
from analysis.results.sentences import significant

_MOST_SHADE = 55  # percent of the colour: words on it can still be read


@dataclass(frozen=True)
class HeatCell:
    """One variant under one load, in words; an empty one says nothing of that."""

    joules: str
    joules_between: str
    ratio: str
    ratio_between: str
    passed: str
    passed_between: str
    shade: int  # percent, from the least J/request of the table to the most
    why: str  # the reasons, where there are no joules


@dataclass(frozen=True)
class HeatTable:
    """A row a variant, a cell a load."""

    loads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell | None, ...]], ...]
    baseline: str | None


def heat_table(results: Results, model: str) -> HeatTable:
    """Put one model's figures into cells; a variant that was not measured under a load has none there."""
    points = {point.condition: point for point in results.points_of(model)}
    loads = tuple(dict.fromkeys(point.load for point in points))
    variants = tuple(dict.fromkeys(point.variant for point in points))
    known = [
        joules
        for point in points.values()
        if (joules := point.mean("j_per_request")) is not None and joules > 0
    ]
    ratios = {contrast.side: contrast for contrast in results.of(model, "variant_vs_baseline")}
    passed = {contrast.side: contrast for contrast in results.of(model, "accuracy_vs_baseline")}

    def cell(side: Condition) -> HeatCell | None:
        point = points.get(side)
        return None if point is None else _cell(point, known, ratios.get(side), passed.get(side))

    rows = tuple(
        (variant, tuple(cell(Condition(model, variant, load)) for load in loads)) for variant in variants
    )
    return HeatTable(loads, rows, next((contrast.reference_variant for contrast in ratios.values()), None))


def _cell(point: Point, known: list[float], ratio: Contrast | None, passed: Contrast | None) -> HeatCell:
    joules = point.mean("j_per_request")
    share = point.mean("pass_at_1_plus")
    times, times_between = _of(ratio, "j_per_request_ratio")
    change, change_between = _of(passed, "pass_at_1_plus_difference", signed=True)
    return HeatCell(
        joules=significant(joules),
        joules_between=_between(point.interval("j_per_request")),
        ratio=times,
        ratio_between=" ".join(filter(None, (times_between, _fewer(ratio, point)))),
        passed="" if share is None else f"{share:.2f}" + (f", {change}" if change else ""),
        passed_between=change_between,
        shade=_shade(joules, known),
        why="" if joules is not None else ", ".join(point.why(["j_per_request"])) or "no power",
    )


def _of(contrast: Contrast | None, metric: str, *, signed: bool = False) -> tuple[str, str]:
    row = contrast.metrics.get(metric) if contrast else None
    if row is None or row["value"] is None:
        return "", ""
    shown = "{:+.2f}".format if signed else significant
    known = row["lo"] is not None and row["hi"] is not None
    return shown(row["value"]), f"({shown(row['lo'])} to {shown(row['hi'])})" if known else ""


def _fewer(ratio: Contrast | None, point: Point) -> str:
    """Say of how many blocks a ratio is where it is not of all: then it need not be that of the means beside it."""
    row = ratio.metrics.get("j_per_request_ratio") if ratio else None
    if row is None or row["value"] is None or row["blocks"] >= point.blocks:
        return ""
    return f"({row['blocks']} of {point.blocks} blocks)"


def _between(ends: Bounds | None) -> str:
    return "" if ends is None else f"({significant(ends[0])} to {significant(ends[1])})"


def _shade(joules: float | None, known: list[float]) -> int:
    """Shade by the logarithm, as joules of one load are many times those of another."""
    if joules is None or joules <= 0 or min(known) == max(known):
        return 0
    return round(_MOST_SHADE * math.log(joules / min(known)) / math.log(max(known) / min(known)))
