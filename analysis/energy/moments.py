"""Moments at which a load acted: what the rhythm of its power, and of nothing else, is looked for by."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from analysis.arrays import Ints
from analysis.requests.inside import Window
from analysis.requests.pulse import Pulse
from analysis.requests.slabs import Chunks, Slab


class Moments(Protocol):
    """A set of moments."""

    def pulse(self, window: Window) -> Pulse:
        """Count them in the bins of a window."""

    def coherence(self, hz: float, window: Window) -> float:
        """Say how far those inside a window keep the phase of a frequency: 1, all of them."""

    def count(self, stretch: Window) -> int:
        """Count those in a stretch, both ends included."""


class At:
    """Moments that are at hand."""

    def __init__(self, t_ns: Ints) -> None:
        self._t_ns = t_ns

    def pulse(self, window: Window) -> Pulse:
        """Count them all."""
        pulse = Pulse(window)
        pulse.add(self._t_ns)
        return pulse

    def coherence(self, hz: float, window: Window) -> float:
        """Look at them all."""
        coherence = Coherence(hz, window)
        coherence.add(self._t_ns)
        return coherence.value

    def count(self, stretch: Window) -> int:
        """Look at them all."""
        return _count(self._t_ns, stretch)


class OfChunks:
    """The moments at which chunks came, however many; what no pass has seen yet costs one of its own."""

    def __init__(self, chunks: Chunks, pulse: Pulse | None = None) -> None:
        """``pulse``: theirs in the window that will be asked for."""
        self._chunks, self._pulse = chunks, pulse
        self._coherent: dict[tuple[float, Window], float] = {}

    def pulse(self, window: Window) -> Pulse:
        """Count them, if they were not yet."""
        if self._pulse is None or self._pulse.window != window:
            self._pulse = Pulse(window)
            self._chunks.show(self._pulse)
        return self._pulse

    def coherence(self, hz: float, window: Window) -> float:
        """Look at them all, if nobody did for this frequency yet."""
        if (hz, window) not in self._coherent:
            coherence = Coherence(hz, window)
            self._chunks.show(coherence)
            self.know(coherence)
        return self._coherent[hz, window]

    def know(self, coherence: Coherence) -> None:
        """Take what was seen of them in a pass that others made."""
        self._coherent[coherence.hz, coherence.window] = coherence.value

    def count(self, stretch: Window) -> int:
        """Look at them all."""
        count = _Count(stretch)
        self._chunks.show(count)
        return count.total


class Coherence:
    """Add up the phases of a frequency at moments inside a window, its end left out."""

    def __init__(self, hz: float, window: Window) -> None:
        self.hz, self.window = hz, window
        self._sum, self._moments = 0j, 0

    @property
    def value(self) -> float:
        """Return how alike the moments' phases are, from 0 to 1; NaN of no moments."""
        return float(np.abs(self._sum / self._moments)) if self._moments else float("nan")

    def add(self, t_ns: Ints) -> None:
        """Take moments, in nanoseconds of the window's clock."""
        t_s = (t_ns - self.window.start_ns) / 1e9
        inside = t_s[(t_s >= 0) & (t_s < self.window.seconds)]
        self._sum += complex(np.exp(2j * np.pi * self.hz * inside).sum())
        self._moments += inside.size

    def see(self, slab: Slab) -> None:
        """Take the chunks of a slab."""
        self.add(slab.chunk_ns)


class _Count:
    def __init__(self, stretch: Window) -> None:
        self._stretch, self.total = stretch, 0

    def see(self, slab: Slab) -> None:
        self.total += _count(slab.chunk_ns, self._stretch)


def _count(t_ns: Ints, stretch: Window) -> int:
    return int(((t_ns >= stretch.start_ns) & (t_ns <= stretch.end_ns)).sum())
