"""What of the chunks of a cell's requests lies inside a window, and in each of its pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import Floats, Ints
from analysis.requests.slabs import Slab

PIECES = 12
"""Of equal length, into which a window is cut to see whether it was steady."""


@dataclass(frozen=True)
class Window:
    """A stretch of time, both ends included, in monotonic nanoseconds."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Return its length in seconds."""
        return (self.end_ns - self.start_ns) / 1e9


class Inside:
    """Add up the tokens of n requests that arrived inside a window."""

    def __init__(self, count: int, window: Window) -> None:
        """``count``: of the requests, n."""
        self.window = window
        self.tokens: Floats = np.zeros(count)
        """(n,) of each request, both ends of the window included; a chunk of unknown tokens counts as one."""
        self.pieces: Floats = np.zeros(PIECES)
        """(``PIECES``,) of all requests in each piece, without the window's end."""

    def see(self, slab: Slab) -> None:
        """Take the tokens of a slab."""
        times, weights = slab.chunk_ns, slab.weight
        inside = (times >= self.window.start_ns) & (times <= self.window.end_ns)
        self.tokens[slab.rows] = slab.per_request(weights * inside)
        length_ns = self.window.end_ns - self.window.start_ns
        since = times - self.window.start_ns
        before_end = inside & (since < length_ns)
        place: Ints = since[before_end] * PIECES // length_ns
        self.pieces += np.bincount(place, weights=weights[before_end], minlength=PIECES)


class Spans:
    """Find of n requests how many chunks they have and when the first and the last came, and their tokens."""

    def __init__(self, count: int) -> None:
        self.chunks = np.zeros(count, dtype=np.int32)
        self.first_ns: Ints = np.zeros(count, dtype=np.int64)
        """(n,) 0 of a request without chunks."""
        self.last_ns: Ints = np.zeros(count, dtype=np.int64)
        self.tokens: Floats = np.zeros(count)
        """(n,) a chunk of unknown tokens counts as one."""
        self.known = np.zeros(count, dtype=np.bool_)
        """(n,) the server said how many tokens came with each chunk."""

    def see(self, slab: Slab) -> None:
        """Take those of a slab."""
        counts = slab.counts
        has = counts > 0
        first = np.zeros(counts.size, dtype=np.int64)
        last = np.zeros(counts.size, dtype=np.int64)
        first[has] = slab.chunk_ns[slab.starts[:-1][has]]
        last[has] = slab.chunk_ns[slab.starts[1:][has] - 1]
        self.chunks[slab.rows], self.known[slab.rows] = counts, slab.known
        self.first_ns[slab.rows], self.last_ns[slab.rows] = first, last
        self.tokens[slab.rows] = slab.per_request(slab.weight)
