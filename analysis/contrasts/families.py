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
class Family:
    """One comparison, a member of the family of its contrast."""

    key: Row
    metric: str
    estimate: RatioEstimate


def family_rows(members: Sequence[Family]) -> list[Row]:
    """For each comparison: p, p by Holm, the smallest ratio that could have been seen, a simultaneous interval."""
    rows = []
    for name in sorted({_name(one) for one in members}):
        own = [one for one in members if _name(one) == name]
        tested = [one for one in own if one.estimate.p is not None]
        adjusted = holm([one.estimate.p for one in tested if one.estimate.p is not None])
        by_member = dict(zip(map(id, tested), adjusted, strict=True))
        for one in own:
            rows += _rows(one, by_member.get(id(one)), len(tested))
    return rows


def _name(one: Family) -> tuple[str, str, str]:
    return one.key["model"], one.key["contrast"], one.metric


def _rows(one: Family, adjusted: float | None, tested: int) -> list[Row]:
    estimate, metric = one.estimate, one.metric
    why = estimate.reasons
    rows = [
        value_row(one.key, f"{metric}_p", estimate.p, "probability", estimate.blocks, why),
        value_row(one.key, f"{metric}_p_holm", adjusted, "probability", estimate.blocks, why),
        value_row(
            one.key,
            f"{metric}_smallest_visible",
            estimate.smallest_visible,
            "ratio",
            estimate.blocks,
            why,
        ),
    ]
    together = value_row(one.key, f"{metric}_simultaneous", estimate.ratio, "ratio", estimate.blocks, why)
    if estimate.half_log is not None and estimate.ratio is not None:
        freedom = estimate.blocks - 1
        wider = float(stdtrit(freedom, 1 - 0.025 / tested) / stdtrit(freedom, 0.975))
        half = estimate.half_log * wider  # Bonferroni: 1 - 0.05 / m for each of m
        lo, hi = (float(estimate.ratio * np.exp(side * half)) for side in (-1, 1))
        together.update(lo=lo, hi=hi, interval_kind=SIMULTANEOUS)
    return [*rows, together]
