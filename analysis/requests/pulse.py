"""When the load acted, counted in narrow bins of a window: what its rhythm is read from."""

from __future__ import annotations

import numpy as np

from analysis.arrays import Floats, Ints
from analysis.requests.inside import Window
from analysis.requests.slabs import Slab

LARGEST = 1 << 22
"""Points of the spectrum that is made of it: bins are wider in windows of more than half an hour."""
PADDED = 4  # times the window: how finely that spectrum is drawn
_BIN_S = 0.002  # a moment is shared between two bins by where it lies, and what that weakens is undone


class Pulse:
    """Count the moments that lie inside a window, its end left out."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.bin_s = max(_BIN_S, PADDED * window.seconds / LARGEST)
        self.counts: Floats = np.zeros(int(window.seconds / self.bin_s) + 2)
        """(bins,) moments in each bin; shared between two where they lie between their starts."""
        self.moments = 0

    def add(self, t_ns: Ints) -> None:
        """Count moments, in nanoseconds of the window's clock."""
        t_s = (t_ns - self.window.start_ns) / 1e9
        inside = t_s[(t_s >= 0) & (t_s < self.window.seconds)]
        self.moments += inside.size
        if not inside.size:
            return
        place, within = np.divmod(inside / self.bin_s, 1.0)
        at = place.astype(np.int64)
        first, last = int(at.min()), int(at.max()) + 2
        here = self.counts[first:last]
        here += np.bincount(at - first, 1 - within, here.size)
        here += np.bincount(at - first + 1, within, here.size)

    def see(self, slab: Slab) -> None:
        """Count the chunks of a slab."""
        self.add(slab.chunk_ns)
