"""Several comparisons at once: Holm on their p-values, and intervals that hold together.

A family is all comparisons of one kind by one boundary and source: what batching saves, over all variants and loads;
what each variant costs, over all variants and loads. Intervals elsewhere in the table hold one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import value_row
from analysis.contrasts.statistics import RatioEstimate, holm

SIMULTANEOUS = "blocks_simultaneous"


@dataclass(frozen=True)
class PairedComparison:
    """One of the comparisons of a contrast, which are a family."""

    key: Row
    metric: str
    estimate: RatioEstimate


def family_rows(comparisons: Sequence[PairedComparison]) -> list[Row]:
    """Make, of each comparison, p, p by Holm, the minimum detectable ratio, and a simultaneous interval."""
    families: dict[tuple[str, str, str], list[PairedComparison]] = {}
    for comparison in comparisons:
        family = comparison.key["model"], comparison.key["contrast"], comparison.metric
        families.setdefault(family, []).append(comparison)
    rows = []
    for _, members in sorted(families.items()):
        known = [member.estimate.p for member in members if member.estimate.p is not None]
        adjusted = iter(holm(known))
        for member in members:
            rows += _rows(member, None if member.estimate.p is None else next(adjusted), len(known))
    return rows


def _rows(comparison: PairedComparison, adjusted: float | None, tested: int) -> list[Row]:
    estimate = comparison.estimate
    values = {"p": estimate.p, "p_holm": adjusted, "smallest_visible": estimate.minimum_detectable}
    values["simultaneous"] = estimate.ratio
    bounds = {"simultaneous": _together(estimate, tested)}
    return [
        value_row(
            comparison.key, f"{comparison.metric}_{name}", value, estimate.blocks, estimate.reasons,
            bounds=bounds.get(name), kind=SIMULTANEOUS,
        )
        for name, value in values.items()
    ]  # fmt: skip


def _together(estimate: RatioEstimate, tested: int) -> tuple[float, float] | None:
    """Return the ends of an interval that holds together with its family's (Bonferroni: 1 - 0.05 / m for each of m)."""
    if estimate.half_log is None or estimate.ratio is None:
        return None
    freedom = estimate.blocks - 1 if estimate.freedom is None else estimate.freedom
    half = estimate.half_log * float(stdtrit(freedom, 1 - 0.025 / tested) / stdtrit(freedom, 0.975))
    return float(estimate.ratio * np.exp(-half)), float(estimate.ratio * np.exp(half))
