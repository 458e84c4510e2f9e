"""Intervals, tests and what could have been seen, for ratios that are paired within blocks (docs/statistics.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

from analysis.arrays import Floats

MIN_BLOCKS = 3
POWER = 0.8
CONFIDENCE = 0.95
"""The coverage of every interval."""
BOTH_SIDES = (1 + CONFIDENCE) / 2
ROUNDING = 1e-9  # values that differ by less, relatively, are the same value computed twice


@dataclass(frozen=True)
class RatioEstimate:
    """A ratio over blocks; ``lo`` and ``hi`` are None where there is no interval, and ``reasons`` say why."""

    ratio: float | None
    lo: float | None
    hi: float | None
    blocks: int
    reasons: tuple[str, ...]
    p: float | None = None  # two-sided, that the ratio is 1
    minimum_detectable: float | None = None  # a ratio above 1 that 80 of 100 such studies would have seen
    half_log: float | None = None  # half of the interval's width, of the logarithm
    freedom: int | None = None  # degrees of freedom; None: blocks - 1
    kind: str = "blocks"  # of the interval

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Return the ends of its interval, where it has one."""
        return None if self.lo is None or self.hi is None else (self.lo, self.hi)

    def as_row(self) -> dict[str, Any]:
        """Return it as tables have it, and as words are made of it."""
        return {
            "value": self.ratio, "lo": self.lo, "hi": self.hi, "blocks": self.blocks, "reasons": self.reasons,
        }  # fmt: skip


def agree(values: Floats) -> bool:
    """Tell whether values (k,) differ by rounding alone: their spread, and so an interval, is not known from them."""
    return float(np.ptp(values)) <= ROUNDING * max(1.0, float(np.abs(values).max()))


def why_no_interval(freedom: int, groups: Iterable[Floats]) -> str | None:
    """Say why groups of values with so many degrees of freedom have no interval; None where they have one."""
    if freedom < MIN_BLOCKS - 1:
        return "too_few_blocks"
    return "blocks_agree" if all(map(agree, groups)) else None


def student_t(logs: Floats) -> tuple[Floats, Floats]:
    """Return means (...) and half-widths (...) of t intervals over the last axis of ``logs`` (..., k), k > 1."""
    blocks = logs.shape[-1]
    quantile = float(stdtrit(blocks - 1, BOTH_SIDES))
    return logs.mean(axis=-1), quantile * logs.std(axis=-1, ddof=1) / np.sqrt(blocks)


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> RatioEstimate:
    """Return the geometric mean of block ratios with a Student t interval on their logarithms.

    With k blocks and d the mean of the log-ratios: exp(d ± t(k - 1) x sd / sqrt(k)). Student t holds its
    coverage from three blocks on where the bootstrap does not (0.71 instead of 0.95 at three, tried by
    simulation on normal data). Below three blocks there is no interval: ``too_few_blocks``; nor where all are equal
    (``blocks_agree``), for a spread of nothing is not one that is known.

    Args:
        numerators: (k,) positive, one a block.
        denominators: (k,) positive, of the same blocks.
    """
    if not numerators:
        return no_ratio("no_valid_block")
    logs = logs_of(numerators) - logs_of(denominators)
    centre, blocks = float(logs.mean()), int(logs.size)
    if (why := why_no_interval(blocks - 1, [logs])) is not None:
        return estimate_of(centre, blocks, reason=why)
    estimate = estimate_of(centre, blocks, half=float(student_t(logs)[1]), p=p_value(logs))
    return replace(estimate, minimum_detectable=float(np.exp(minimum_detectable(logs))))


def geometric_mean(values: Sequence[float]) -> RatioEstimate:
    """Return the geometric mean of positive values (k,), with the interval that ``paired_ratio`` gives ratios to 1."""
    return paired_ratio(values, [1.0] * len(values))


def no_ratio(*reasons: str) -> RatioEstimate:
    """Make an estimate of nothing."""
    return RatioEstimate(None, None, None, 0, reasons)


def estimate_of(
    centre: float,
    blocks: int,
    *,
    half: float | None = None,
    reason: str | None = None,
    p: float | None = None,
) -> RatioEstimate:
    """Make an estimate from the logarithm of a ratio and half its interval's width, or the reason why it has none.

    Args:
        centre: the ratio's natural logarithm.
        blocks: how many values it is of.
        half: half the width of the interval of the logarithm.
        reason: the code of why there is no interval.
        p: of the ratio against 1.
    """
    lo, hi = (None, None) if half is None else (float(np.exp(centre - half)), float(np.exp(centre + half)))
    reasons = () if reason is None else (reason,)
    return RatioEstimate(float(np.exp(centre)), lo, hi, blocks, reasons, p=p, half_log=half)


def logs_of(values: Sequence[float]) -> Floats:
    """Return natural logarithms (k,) of positive values."""
    return np.log(np.asarray(values, dtype=np.float64))


def unpaired_ratio(values: Sequence[float], references: Sequence[float]) -> RatioEstimate:
    """Return the ratio of geometric means of two independent runs, with Welch's interval on the logarithms.

    With k and m blocks, log-variances s² and r²: exp(d ± t(f) x sqrt(s²/k + r²/m)), f by Welch (1947) and Satterthwaite
    (1946). Blocks of two runs are not pairs: what differed between the days is in none of them. ``blocks`` is the
    smaller number; below three on either side there is no interval: ``too_few_blocks``.

    Args:
        values: (k,) positive, one a block.
        references: (m,) positive, of the run that is the reference.
    """
    if not values or not references:
        return no_ratio("no_valid_block")
    return _welch((logs_of(values),), (logs_of(references),))


def effect_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    values: Sequence[float],
    references: Sequence[float],
) -> RatioEstimate:
    """Divide a ratio that is paired within blocks by one of two independent sets of runs, as ``unpaired_ratio`` does.

    With d the log-ratios of k blocks: exp(mean d - (mean log values - mean log references)), its error that of three
    independent means. One is no change: the effect is as large on both sides.

    Args:
        numerators: (k,) positive, one a block.
        denominators: (k,) positive, of the same blocks.
        values: (m,) positive, of runs that are pairs of nothing.
        references: (n,) positive, likewise.
    """
    if not numerators or not len(values) or not len(references):
        return no_ratio("no_valid_block")
    within = logs_of(numerators) - logs_of(denominators)
    return _welch((within, logs_of(references)), (logs_of(values),))


def _welch(plus: Sequence[Floats], minus: Sequence[Floats]) -> RatioEstimate:
    """Sums of independent means (plus less minus), exponentiated, with Welch's and Satterthwaite's interval."""
    sides = [*plus, *minus]
    centre = float(sum(logs.mean() for logs in plus) - sum(logs.mean() for logs in minus))
    blocks = min(logs.size for logs in sides)
    if (why := why_no_interval(blocks - 1, sides)) is not None:
        return estimate_of(centre, blocks, reason=why)
    errors = [float(logs.var(ddof=1)) / logs.size for logs in sides]
    error = sum(errors)
    freedom = error**2 / sum(
        variance**2 / (logs.size - 1) for variance, logs in zip(errors, sides, strict=True)
    )
    half = float(stdtrit(freedom, BOTH_SIDES)) * error**0.5
    return estimate_of(centre, blocks, half=half, p=float(2 * stdtr(freedom, -abs(centre) / error**0.5)))


def p_value(logs: Floats) -> float:
    """Compute p, two-sided by Student's t, of a mean as far from 0 as that of these values, not all of them equal."""
    error = float(logs.std(ddof=1)) / np.sqrt(logs.size)
    return float(2 * stdtr(logs.size - 1, -abs(float(logs.mean())) / error))


def minimum_detectable(values: Floats) -> float:
    """Return the mean that a t test over (k,) values of this spread would have told from 0 in 80 of 100 studies.

    The noncentrality at which T exceeds its critical value with that probability (noncentral t), times the standard
    error. The spread is the one observed, so this is as uncertain as it is.
    """
    freedom = values.size - 1
    critical = float(stdtrit(freedom, BOTH_SIDES))
    noncentral = float(nctdtrinc(freedom, 1 - POWER, critical))
    return noncentral * float(values.std(ddof=1)) / float(np.sqrt(values.size))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust by Holm's step-down (Holm 1979): the chance of any false finding in the family is at most the level."""
    order = np.argsort(p_values, kind="stable")
    count, highest = len(p_values), 0.0
    adjusted = [0.0] * count
    for place, index in enumerate(order):
        highest = max(highest, min((count - place) * p_values[index], 1.0))
        adjusted[index] = highest
    return adjusted
