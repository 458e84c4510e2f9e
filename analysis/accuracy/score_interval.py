"""Intervals for means of bounded values, one a task: shares that were solved, and differences of two such shares.

Student's t has no width where all tasks agree, and a mean of 24 equal values is not known exactly. A score interval
holds every mean that a test does not reject, and the test takes its variance from the mean that it tests: the values'
distribution that is likeliest with that mean, where tasks that nobody has seen may lie at the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from analysis.arrays import Floats, Ints

_TIGHT = 1e-12
_Z95 = float(ndtri(0.975))


def score_interval(values: Floats, low: float, high: float) -> tuple[float, float]:
    """Return the score interval (95 %) for the mean of values that lie between ``low`` and ``high``.

    Holds every mean m with n (mean - m)² <= z² V(m), V(m) the variance about m of the likeliest distribution on the
    observed values and the two bounds that has the mean m. Of values that are 0 or 1 this is Wilson's interval (1927);
    of -1, 0 and 1 (one sample of each task on both sides) Tango's for paired proportions (1998). Values between the
    bounds, such as shares of several samples, are taken as they are.

    Args:
        values: (n,) one a task, n at least 1.
        low: the least value there can be.
        high: the largest.
    """
    seen, counts = np.unique(values, return_counts=True)
    return _score_interval(tuple(seen.tolist()), tuple(counts.tolist()), low, high)


@lru_cache(maxsize=4096)
def _score_interval(
    seen: tuple[float, ...], counts: tuple[int, ...], low: float, high: float
) -> tuple[float, float]:
    """Of values that were seen so often; cells of a run have few such sets between them."""
    values, times = np.array(seen), np.array(counts)
    above = _upper_end(values, times, high)
    below = -_upper_end(-values[::-1], times[::-1], -low)
    return max(below, low), min(above, high)


def _upper_end(seen: Floats, counts: Ints, high: float) -> float:
    """Return the largest mean that is not rejected, of values (v,) that rise and how often each was seen (v,)."""
    size = int(counts.sum())
    mean = float((seen * counts).sum() / size)
    shares = counts / size

    def beyond(tested: float) -> float:
        off = size * (tested - mean) ** 2
        return off - _Z95**2 * _variance(seen, shares, high, tested)

    last = high - _TIGHT * max(abs(high), 1.0)
    if mean >= last or beyond(last) <= 0:
        return high
    first = mean + _TIGHT
    return first if beyond(first) >= 0 else _root(beyond, first, last)


def _variance(seen: Floats, shares: Floats, high: float, tested: float) -> float:
    """Compute the variance of the likeliest distribution with the mean ``tested``, which is above the observed one.

    By Lagrange its weights are shares / (1 - tilt x), x the distance from ``tested`` as a part of the way to ``high``.
    Where even the whole tilt does not reach the mean, what is left lies at ``high``, though nobody saw it there.
    """
    x = (seen - tested) / (high - tested)

    def pull(tilt: float) -> float:
        return float((shares * x / (1 - tilt * x)).sum())

    unseen = float(x[-1]) < 1 - _TIGHT
    if unseen and pull(1.0) <= 0:
        weights = shares / (1 - x)
        at_high = max(1.0 - float(weights.sum()), 0.0)
    else:
        weights = shares / (1 - _root(pull, 0.0, 1.0 - _TIGHT) * x)
        at_high = 0.0
    return float((weights * (seen - tested) ** 2).sum()) + at_high * (high - tested) ** 2


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Find where a function that rises from below 0 crosses it; ``high`` where rounding keeps it below."""
    return high if function(high) <= 0 else float(brentq(function, low, high, xtol=_TIGHT))
