"""When requests of an open load are due, in nanoseconds from the load's start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

_DRAWN_AT_ONCE = 256


def arrival_offsets_ns(
    qps: float, arrivals: Literal["constant", "poisson"], rng: np.random.Generator
) -> Iterator[int]:
    """Offsets without end: ``constant`` has gaps of exactly 1/qps, ``poisson`` exponential ones of that mean."""
    if arrivals == "constant":
        index = 0
        while True:
            yield round(index * 1e9 / qps)
            index += 1
    due_s = 0.0
    while True:
        for gap_s in rng.exponential(1.0 / qps, size=_DRAWN_AT_ONCE):
            due_s += float(gap_s)
            yield round(due_s * 1e9)
