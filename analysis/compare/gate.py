"""A gate for CI: whether a run is worse than the one before it by more than a bound, as far as intervals show it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from analysis.compare.runs import PASSED, RATIOS, Comparison, Difference
from analysis.keys import Condition
from analysis.metrics import metric as metric_of
from starwatt_errors import UsageError

METRICS = (*(name for name in RATIOS if metric_of(name).better is not None), PASSED)
"""What a gate may ask about: what has a worse side."""
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class Outcome(StrEnum):
    """Hold what the interval of one condition says of the bound."""

    WORSE = "worse"
    WITHIN = "within"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """One condition of one run: the share by which it is worse (for pass@1 the difference), and its interval."""

    run: str
    condition: Condition
    worse_by: float | None
    lo: float | None
    hi: float | None
    outcome: Outcome
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """Hold what was asked, and the verdict on each condition of the reference."""

    metric: str
    bound: float
    strict: bool
    verdicts: tuple[Verdict, ...]

    @property
    def outcome(self) -> Outcome:
        """Sum up: worse where any condition is, else unknown where any is or there is none, else within."""
        outcomes = {verdict.outcome for verdict in self.verdicts} or {Outcome.UNKNOWN}
        return next(
            outcome for outcome in (Outcome.WORSE, Outcome.UNKNOWN, Outcome.WITHIN) if outcome in outcomes
        )


def bound_of(text: str) -> float:
    """Read a bound such as ``5%``, as a share.

    Raises:
        UsageError: it is no percentage.
    """
    percent = _PERCENT.fullmatch(text.strip())
    if percent is None:
        raise UsageError(f"--fail-above is {text!r}: it takes a percentage of 0 or more, such as 5%")
    return float(percent[1]) / 100


def check_metric(name: str) -> None:
    """Raise UsageError where a metric has no worse side, or none is called so."""
    if name not in METRICS:
        raise UsageError(f"--metric is {name!r}: a gate takes one of {', '.join(METRICS)}")


def gate(comparison: Comparison, metric: str, bound: float, *, strict: bool) -> Gate:
    """Hold every condition of every run against the reference.

    Args:
        comparison: the runs, the reference first.
        metric: one of ``METRICS``.
        bound: how much worse is still let pass, as a share; for pass@1 a difference.
        strict: a condition passes only where its whole interval does. Else it fails only where its whole interval does.

    Raises:
        UsageError: the metric has no worse side.
    """
    check_metric(metric)
    return Gate(metric, bound, strict, tuple(_verdicts(comparison, metric, bound, strict=strict)))


def _verdicts(comparison: Comparison, metric: str, bound: float, *, strict: bool) -> Iterator[Verdict]:
    incomparable = {other.name for other in comparison.others if other.asked}
    for difference in comparison.of(metric):
        if difference.run in incomparable:
            yield _unknown(difference.run, difference.condition, "asked_differently")
        else:
            yield _verdict(difference, bound, strict=strict)
    for other in comparison.others:
        for condition in other.missing:
            yield _unknown(other.name, condition, "not_in_both")


def _unknown(run: str, condition: Condition, reason: str) -> Verdict:
    return Verdict(run, condition, None, None, None, Outcome.UNKNOWN, (reason,))


def _verdict(difference: Difference, bound: float, *, strict: bool) -> Verdict:
    estimate = difference.estimate
    worse_by, lo, hi = _worsening(difference)
    outcome = Outcome.UNKNOWN
    if lo is not None and hi is not None:
        outcome = Outcome.WORSE if (hi if strict else lo) > bound else Outcome.WITHIN
    return Verdict(difference.run, difference.condition, worse_by, lo, hi, outcome, estimate.reasons)


def _worsening(difference: Difference) -> tuple[float | None, float | None, float | None]:
    """Turn an estimate so that more is worse: its value, and its ends from the better to the worse."""
    estimate, same = difference.estimate, 0.0 if difference.metric == PASSED else 1.0
    values = [None if value is None else value - same for value in (estimate.ratio, estimate.lo, estimate.hi)]
    if metric_of(difference.metric).better == "lower":
        return values[0], values[1], values[2]
    turned = [None if value is None else -value for value in values]
    return turned[0], turned[2], turned[1]
