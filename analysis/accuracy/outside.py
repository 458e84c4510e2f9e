"""Which tokens of answers are outside of the code that was graded: words, fences, what comes after, thoughts.

The grader notes which characters of an answer it ran (``solution_chars``), the load generator how many characters came
with each chunk (``chunk_chars``). A chunk's tokens are outside by the share of its characters that are; one that
brought none (a thought, the end of the answer) is outside altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from analysis.arrays import Bools, Floats
from analysis.requests.columns import Requests
from analysis.requests.slabs import Slab


@dataclass(frozen=True)
class Outside:
    """Hold what is outside of the code of n requests."""

    known: Bools  # (n,) measured requests that ended well, whose tokens and code are known
    tokens: float  # outside of the code, of the requests for which this is known
    all_tokens: float  # of these


class OutsideCount:
    """Join a cell's answers with what was run of them, as their chunks go by."""

    def __init__(self, grades: pa.Table, requests: Requests) -> None:
        """Nothing is known yet."""
        told = zip(grades["request_id"].to_pylist(), grades["solution_chars"].to_pylist(), strict=True)
        self._solutions = dict(told)
        self._numbers = requests.column("request_id").to_numpy()
        self._completed = requests.completed
        self._known = np.zeros(requests.count, dtype=bool)
        self._tokens = self._all = 0.0
        self._last: tuple[Slab, Floats] | None = None

    @property
    def outside(self) -> Outside:
        """Return what was found, once all chunks were seen."""
        return Outside(self._known, self._tokens, self._all)

    def see(self, slab: Slab) -> None:
        """Add up the tokens of a slab."""
        share = self.share(slab)
        weight = slab.weight * np.repeat(self._known[slab.rows], slab.counts)
        self._tokens += float((weight * share).sum())
        self._all += float(weight.sum())

    def share(self, slab: Slab) -> Floats:
        """Return the share of each chunk's tokens that is outside (c,); 0 where it is not known."""
        if self._last is not None and self._last[0] is slab:
            return self._last[1]
        share = np.zeros(slab.chunk_ns.size)
        for row in np.flatnonzero(self._completed[slab.rows]).tolist():
            edges = self._solutions.get(int(self._numbers[slab.first + row]))
            chars = None if slab.chars is None else slab.chars[row].as_py()
            start, end = slab.starts[row], slab.starts[row + 1]
            if edges is None or chars is None or len(chars) != end - start or not slab.told[row]:
                continue
            if _are_edges(edges, sum(chars)) and min(chars, default=0) >= 0:
                share[start:end] = 1.0 - covered(chars, edges)
                self._known[slab.first + row] = True
        self._last = slab, share
        return share


def _are_edges(edges: Sequence[int], length: int) -> bool:
    """Say whether these are starts and ends of parts of a text, one part after the other."""
    return len(edges) % 2 == 0 and all(start <= end for start, end in pairwise([0, *edges, length]))


def covered(chars: Sequence[int], edges: Sequence[int]) -> Floats:
    """Return the share of each chunk's characters that lie between pairs of edges; 0 of one without any.

    Args:
        chars: (c,) characters of each chunk, in their order.
        edges: start and end of each part, ascending.
    """
    length = np.asarray(chars, dtype=np.float64)
    until = np.concatenate(([0.0], np.cumsum(length)))
    parts = np.asarray(edges, dtype=np.float64).reshape(-1, 2)
    marks = np.concatenate(([0.0], parts.ravel()))
    within = np.repeat(np.cumsum(parts[:, 1] - parts[:, 0]), 2)
    before = np.concatenate(
        ([0.0], within - np.tile([1.0, 0.0], len(parts)) * np.repeat(parts[:, 1] - parts[:, 0], 2))
    )
    inside = np.diff(np.interp(until, marks, before))
    return np.divide(inside, length, out=np.zeros(length.size), where=length > 0)
