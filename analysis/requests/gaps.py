"""The times between a cell's tokens: their mean, and percentiles that are exact however many there are.

A million of them are kept. Of more, a first look counts how many lie on each step of a ruler, and a second one collects
what lies on those steps that hold a percentile.
"""

from __future__ import annotations

import numpy as np

from analysis.arrays import Bools, Floats, Ints, spread
from analysis.requests.slabs import Chunks, Slab

MOST_KEPT = 1 << 20
PERCENTILES = (50, 90, 99)
_STEP_BITS = 44  # of a float's 64: the ruler has 256 steps to an octave
_STEPS = 1 << (64 - _STEP_BITS)
_MOST_DISTINCT = 1 << 20  # collected before equal ones are put together, or twice what was left the last time

Spread = dict[str, float | None]


class Gaps:
    """Collect the gaps between successive chunks of requests; a chunk of k tokens gives k gaps of a k-th each.

    A chunk is not a token: counted whole, a server that sends two tokens at a time would look half as fast.
    Where tokens per chunk are not known, a chunk counts once.
    """

    def __init__(self, chosen: Bools) -> None:
        """``chosen``: of which of the n requests."""
        self._chosen = chosen
        self._kept: list[Floats] | None = [np.zeros(0)]
        self._counts: Ints | None = None
        self.count, self._sum_ms = 0, 0.0

    def see(self, slab: Slab) -> None:
        """Take the gaps of a slab."""
        values = gaps_in(slab, self._chosen)
        self.count += values.size
        self._sum_ms += float(values.sum())
        if self._kept is not None:
            self._kept.append(values)
            if self.count > MOST_KEPT:
                for kept in self._kept:
                    self._count(kept)
                self._kept = None
        else:
            self._count(values)

    @property
    def values_ms(self) -> Floats | None:
        """Return all of them, in the order of the requests; None where they are more than are kept."""
        return None if self._kept is None else np.concatenate(self._kept)

    def closer(self) -> CloserLook | None:
        """Return what a second pass is to show them to; None where none is needed."""
        if self._counts is None:
            return None
        return CloserLook(self._chosen, self._counts, self.count, self._sum_ms / self.count)

    def spread(self, chunks: Chunks) -> Spread:
        """Compute mean and percentiles, with a second pass over all chunks where there are too many to keep."""
        closer = self.closer()
        if closer is None:
            return spread_of(self)
        chunks.show(closer)
        return closer.spread()

    def _count(self, values: Floats) -> None:
        if self._counts is None:
            self._counts = np.zeros(_STEPS, dtype=np.int64)
        if values.size:
            steps = _steps_of(values)
            lowest = int(steps.min())
            counted = np.bincount(steps - lowest)
            self._counts[lowest : lowest + counted.size] += counted


class CloserLook:
    """Collect the gaps that lie where the percentiles do."""

    def __init__(self, chosen: Bools, counts: Ints, count: int, mean_ms: float) -> None:
        """``counts``: gaps by step of the ruler, ``count`` together."""
        self._chosen, self._count, self._mean_ms = chosen, count, mean_ms
        self._until = np.cumsum(counts)
        ranks = [rank for q in PERCENTILES for rank in _ranks(q, count)[:2]]
        self._steps = np.unique(np.searchsorted(self._until, ranks, side="right"))
        self._is_wanted = np.zeros(_STEPS, dtype=np.bool_)
        self._is_wanted[self._steps] = True
        self._found: list[tuple[Floats, Ints]] = []
        self._collected, self._most = 0, _MOST_DISTINCT

    def see(self, slab: Slab) -> None:
        """Take the gaps of a slab that lie near enough, each value once."""
        values = gaps_in(slab, self._chosen)
        if values.size:
            near = values[self._is_wanted[_steps_of(values)]]
            values, counts = np.unique(near, return_counts=True)
            self._found.append((values, counts))
            self._collected += values.size
            if self._collected > self._most:
                self._found = [self._together()]
                self._collected = self._found[0][0].size
                self._most = max(_MOST_DISTINCT, 2 * self._collected)

    def spread(self) -> Spread:
        """Compute what ``analysis.arrays.spread`` gives of all of them."""
        values, counts = self._together()
        steps = _steps_of(values)
        percentiles = {}
        for q in PERCENTILES:
            below, above, share = _ranks(q, self._count)
            low, high = (self._value_at(rank, values, counts, steps) for rank in (below, above))
            percentiles[f"p{q}"] = _between(low, high, share)
        return {"mean": self._mean_ms, **percentiles}

    def _value_at(self, rank: int, values: Floats, counts: Ints, steps: Ints) -> float:
        """Return the gap of this rank, from 0, among all."""
        step = int(np.searchsorted(self._until, rank, side="right"))
        before = int(self._until[step - 1]) if step else 0
        chosen = steps == step
        place = int(np.searchsorted(np.cumsum(counts[chosen]), rank - before, side="right"))
        return float(values[chosen][place])

    def _together(self) -> tuple[Floats, Ints]:
        values = np.concatenate([of for of, _ in self._found])
        distinct, place = np.unique(values, return_inverse=True)
        counts = np.concatenate([how_many for _, how_many in self._found])
        return distinct, np.bincount(place, weights=counts, minlength=distinct.size).astype(np.int64)


def spread_of(gaps: Gaps) -> Spread:
    """Compute mean and percentiles of gaps that are few enough to be kept."""
    values_ms = gaps.values_ms
    return spread(np.zeros(0) if values_ms is None else values_ms)


def gaps_in(slab: Slab, chosen: Bools) -> Floats:
    """Return ms before each token after the first chunk, of the chosen of a slab's requests in their order."""
    rows = np.repeat(np.arange(slab.first, slab.last), slab.counts)
    carries = (slab.weight > 0) & chosen[rows]
    rows, times = rows[carries], slab.chunk_ns[carries]
    same = rows[1:] == rows[:-1]
    gaps = np.diff(times)[same] / 1e6
    count = slab.weight[carries][1:][same]
    if count.size and count.min() == count.max() == 1:
        return np.asarray(gaps)
    return np.repeat(gaps / count, count.astype(np.int64))


def _steps_of(values: Floats) -> Ints:
    """Say on which step of the ruler each value is: in the order of the values."""
    bits = values.view(np.int64)
    ordered = bits ^ ((bits >> 63) & np.int64(0x7FFF_FFFF_FFFF_FFFF))
    return np.asarray((ordered >> _STEP_BITS) + (_STEPS >> 1))


def _ranks(q: int, count: int) -> tuple[int, int, float]:
    """Return between which two of ``count`` values a percentile lies, from 0, and how far: as NumPy's linear method."""
    place = q / 100 * (count - 1)
    below = int(np.floor(place))
    return below, min(below + 1, count - 1), place - below


def _between(low: float, high: float, share: float) -> float:
    """Interpolate as NumPy does, to the last bit."""
    step = high - low
    return high - step * (1 - share) if share >= 0.5 else low + step * share
