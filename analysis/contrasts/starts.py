"""Ratios whose blocks share engine starts: a start is a level of its own (docs/statistics.md).

Log-ratio of block j on the i-th start of both sides: d_ij = mu + s_i + e_ij. What the i-th start of both engines adds,
s_i, is in all of its blocks, so that more blocks on it do not average it away: what counts are the means of starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from analysis.arrays import Floats
from analysis.contrasts.statistics import (
    BOTH_SIDES,
    RatioEstimate,
    estimate_of,
    logs_of,
    paired_ratio,
    why_no_interval,
)

MIN_STARTS = 3
StartOf = Callable[[int], int]
"""Which start of its engine serves a block."""
STARTS, THESE_STARTS = "starts", "these_starts"
"""Kinds of intervals: one that holds for other starts too, and one that holds for those that were measured."""


def ratio_over_starts(
    numerators: Sequence[float], denominators: Sequence[float], starts: Sequence[int]
) -> RatioEstimate:
    """Return the geometric mean of block ratios, with an interval that knows which blocks share a start.

    Where each block has its own start it is ``paired_ratio``. With three starts or more it is Student's t on their
    means. With fewer the interval is of these starts alone (``these_starts``), by the spread of blocks within them, and
    there is no p: how much starts differ is in neither.

    Args:
        numerators: (k,) positive, one a block.
        denominators: (k,) positive, of the same blocks.
        starts: (k,) which start served each block.
    """
    count = len(set(starts))
    if count == len(starts):
        return paired_ratio(numerators, denominators)
    logs = logs_of(numerators) - logs_of(denominators)
    if count >= MIN_STARTS:
        means = np.exp(means_of(logs, starts))
        estimate = paired_ratio(list(means), [1.0] * count)
        return replace(estimate, blocks=logs.size, freedom=count - 1, kind=STARTS)
    return _of_these_starts(logs, starts)


def means_of(logs: Floats, starts: Sequence[int]) -> Floats:
    """Return means (m, ...) over the blocks (k, ...) of each start, in the order of starts."""
    known, of = np.unique(np.asarray(starts), return_inverse=True)
    return np.array([logs[of == place].mean(axis=0) for place in range(known.size)])


def geometric_means(values: Sequence[float], starts: Sequence[int]) -> list[float]:
    """Return geometric means of positive values (k,), one a start; the values themselves where none share one."""
    if len(set(starts)) == len(values):
        return list(values)
    return [float(value) for value in np.exp(means_of(logs_of(values), starts))]


def by_start(values: Mapping[int, float], start_of: StartOf) -> dict[int, float]:
    """Return geometric means of positive values by block, by start; the values by block where none share one."""
    starts = [start_of(block) for block in values]
    if len(set(starts)) == len(starts):
        return dict(values)
    return dict(zip(sorted(set(starts)), geometric_means(list(values.values()), starts), strict=True))


def pairs_by_start(
    values: Mapping[int, float], others: Mapping[int, float], start_of: StartOf
) -> tuple[list[float], list[float]]:
    """Pair both sides in the blocks that both have, by start: a start's two means are of the same blocks."""
    both = sorted(values.keys() & others.keys())
    ours, theirs = (by_start({block: side[block] for block in both}, start_of) for side in (values, others))
    return list(ours.values()), list(theirs.values())


def within_starts(logs: Floats, starts: Sequence[int]) -> tuple[Floats, Floats]:
    """Return means (...) and half-widths (...) of intervals that hold for these starts, over the last axis of ``logs``.

    The mean of the m starts' means, and the spread of the k blocks (..., k) around these: t(k - m), k > m.
    """
    _, of, sizes = np.unique(np.asarray(starts), return_inverse=True, return_counts=True)
    means = np.moveaxis(means_of(np.moveaxis(logs, -1, 0), starts), 0, -1)
    freedom = logs.shape[-1] - sizes.size
    spread = np.sqrt(np.square(logs - means[..., of]).sum(axis=-1) / freedom)
    quantile = float(stdtrit(freedom, BOTH_SIDES))
    return means.mean(axis=-1), quantile * spread * np.sqrt((1 / sizes).sum()) / sizes.size


def _of_these_starts(logs: Floats, starts: Sequence[int]) -> RatioEstimate:
    count = len(set(starts))
    why = "one_engine_start" if count == 1 else "too_few_starts"
    if (lacking := why_no_interval(logs.size - count, [logs])) is not None:
        centre = float(means_of(logs, starts).mean())
        return replace(estimate_of(centre, logs.size), reasons=(lacking, why))
    mean, half = within_starts(logs, starts)
    return replace(estimate_of(float(mean), logs.size, half=float(half), reason=why), kind=THESE_STARTS)
