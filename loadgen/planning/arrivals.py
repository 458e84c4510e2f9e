"""Compute when requests of an open load are due, in nanoseconds from the load's start."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from configs.loads import Open
from configs.recordings import Recording, read_recording
from loadgen.planning.dither import Phases, dithered
from loadgen.planning.prompts import seeded
from loadgen.spec import LoadSpec

_DRAWN_AT_ONCE = 256


@dataclass(frozen=True)
class Arrivals:
    """The arrival process of one open load; the same for the same (seed, block, load)."""

    load: Open
    seed: int
    block: int
    warmup_ns: int
    dither_s: float = 0.0

    @classmethod
    def of(cls, spec: LoadSpec) -> Arrivals:
        """Return the arrivals that a spec with an open load asks for."""
        assert isinstance(spec.load, Open)  # noqa: S101 -- the caller has looked
        return cls(spec.load, spec.seed, spec.block, round(spec.warmup_s * 1e9), spec.dither_s)

    def offsets_ns(self) -> Iterator[int]:
        """Yield when each request is due, without end."""
        if self.load.trace is not None:
            return trace_offsets_ns(recording_of(self.load).offsets_ns, self.warmup_ns)
        rng = seeded(self.seed, self.block, self.load.slug, "arrivals")
        offsets = arrival_offsets_ns(mean_rate(self.load), self.load.arrivals or "poisson", rng)
        if self.load.arrivals != "constant" or not self.dither_s:
            return offsets
        return dithered(offsets, Phases(self.dither_s, rng))

    def within(self, seconds: float) -> float:
        """Count the requests due in the first ``seconds`` of what is measured: exact for a trace, else expected."""
        if self.load.trace is None:
            return seconds * mean_rate(self.load)
        offsets = recording_of(self.load).offsets_ns
        rounds, rest_ns = divmod(round(seconds * 1e9), _period_ns(offsets))
        return rounds * len(offsets) + bisect_left(offsets, rest_ns)


def recording_of(load: Open) -> Recording:
    """Read what a load with a trace replays.

    Raises:
        UsageError: the trace file cannot be read.
    """
    assert load.trace is not None  # noqa: S101 -- the caller has looked
    return read_recording(load.trace, load.most_tokens)


def mean_rate(load: Open) -> float:
    """Return requests a second in the mean.

    Raises:
        UsageError: the trace file cannot be read.
    """
    if load.trace is not None:
        offsets = recording_of(load).offsets_ns
        return len(offsets) / (_period_ns(offsets) * 1e-9)
    assert load.qps is not None  # noqa: S101 -- the schema asks for one of both
    return load.qps


def arrival_offsets_ns(
    qps: float, arrivals: Literal["constant", "poisson"], rng: np.random.Generator
) -> Iterator[int]:
    """Yield offsets without end: ``constant`` has gaps of exactly 1/qps, ``poisson`` exponential ones of that mean."""
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


def trace_offsets_ns(offsets_ns: Sequence[int], warmup_ns: int) -> Iterator[int]:
    """Yield when the requests of ``replayed`` are due."""
    return (due_ns for due_ns, _, _ in replayed(offsets_ns, warmup_ns))


def replayed(offsets_ns: Sequence[int], warmup_ns: int) -> Iterator[tuple[int, int, int]]:
    """Yield (when it is due, round, number in the recording) of a recorded process, without end.

    It begins when the warm-up is over, and is repeated as it stands. Warm-up takes the end of the recording, so that
    what is measured is the recording from its first request on. Rounds count from 0, in warm-up as in what follows.
    """
    period_ns = _period_ns(offsets_ns)
    rounds = -(-warmup_ns // period_ns)
    begins_ns, number = warmup_ns - rounds * period_ns, -rounds
    while True:
        for place, offset_ns in enumerate(offsets_ns):
            if begins_ns + offset_ns >= 0:
                yield begins_ns + offset_ns, number if number >= 0 else number + rounds, place
        begins_ns, number = begins_ns + period_ns, number + 1


def _period_ns(offsets_ns: Sequence[int]) -> int:
    """Return a recording with one mean gap behind it."""
    return offsets_ns[-1] + round(offsets_ns[-1] / (len(offsets_ns) - 1))
