"""A dither that sweeps a power sensor's period evenly: load with a rhythm then meets the sensor at all its phases.

A sensor that looks at a part of its period, in step with the load, sees one phase of its power. Shifted one after the
other by multiples of the golden ratio of that period, requests fall on all phases alike in a stretch of any length:
no rotation has a sequence of lower discrepancy (Kuipers and Niederreiter, Uniform Distribution of Sequences, 1974,
chapter 2, section 3).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from loadgen.planning.prompts import seeded
from loadgen.spec import LoadSpec

_GOLDEN = (5**0.5 - 1) / 2
_LEAST_PASSES_S = 100.0  # of the dither, between two waits of one place: on average it waits half of it


class Phases:
    """Shifts by number, from 0 up to ``width_s``; the first is drawn."""

    def __init__(self, width_s: float, rng: np.random.Generator) -> None:
        self._width_s, self._first = width_s, float(rng.uniform())

    def seconds(self, number: int) -> float:
        """Return the shift of request, or pass, ``number``."""
        return self._width_s * ((self._first + number * _GOLDEN) % 1.0)


def dithered(offsets_ns: Iterator[int], phases: Phases) -> Iterator[int]:
    """Move ascending offsets later, each by its phase, in order again: a request may overtake the one before it."""
    waiting: list[int] = []
    for number, offset_ns in enumerate(offsets_ns):
        while waiting and waiting[0] <= offset_ns:
            yield heapq.heappop(waiting)
        heapq.heappush(waiting, offset_ns + round(phases.seconds(number) * 1e9))
    yield from sorted(waiting)


class PassStarts:
    """Say when a place of a closed load begins its next pass over the prompts: later by that pass's phase.

    Not where that would cost the load more than half a percent of its time.
    """

    def __init__(self, dither_s: float, rng: np.random.Generator) -> None:
        self._phases, self._dither_s = Phases(dither_s, rng), dither_s
        self._pass: dict[int, int] = {}
        self._waited_ns: dict[int, int] = {}

    @classmethod
    def of(cls, spec: LoadSpec) -> PassStarts:
        """Make those of one load: drawn anew for each block, the same in all of its processes."""
        return cls(spec.dither_s, seeded(spec.seed, spec.block, spec.load.slug, "passes"))

    def phase_ns(self, sample: int) -> int | None:
        """Say by how much later a place goes on that comes to this pass; None where nothing is dithered."""
        return round(self._phases.seconds(sample) * 1e9) if self._dither_s else None

    def wait_s(self, place: int, sample: int, at_ns: int) -> float:
        """Return the wait before a place's next request, which is of pass ``sample``, at a time of the load."""
        known = self._pass.get(place)
        self._pass[place] = sample
        due = at_ns - self._waited_ns.get(place, 0) >= _LEAST_PASSES_S * self._dither_s * 1e9
        if not self._dither_s or known in (None, sample) or not due:
            return 0.0
        self._waited_ns[place] = at_ns
        return self._phases.seconds(sample)
