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


@dataclass(frozen=True)
class Outside:
    """Of n requests with m chunks."""

    share: Floats  # (m,) of each chunk's tokens; 0 where it is not known
    known: Bools  # (n,) measured requests that ended well, whose tokens and code are known

    def tokens(self, requests: Requests) -> tuple[float, float]:
        """Tokens outside of the code, and all, of the requests for which these are known."""
        weight = requests.chunk_weight * np.repeat(self.known, np.diff(requests.chunk_start))
        return float((weight * self.share).sum()), float(weight.sum())


def outside_solutions(grades: pa.Table | None, requests: Requests) -> Outside | None:
    """Join a cell's answers with what was run of them; None where it is not graded."""
    if grades is None:
        return None
    solutions = dict(zip(grades["request_id"].to_pylist(), grades["solution_chars"].to_pylist(), strict=True))
    share = np.zeros(requests.chunk_ns.size)
    known = np.zeros(requests.count, dtype=bool)
    numbers = requests.table["request_id"].to_numpy()
    of_chunks, tokens = (requests.table[name].combine_chunks() for name in ("chunk_chars", "chunk_tokens"))
    for row in np.flatnonzero(requests.completed):
        edges, chars = solutions.get(int(numbers[row])), of_chunks[row].as_py()
        start, end = requests.chunk_start[row], requests.chunk_start[row + 1]
        if edges is None or chars is None or len(chars) != end - start or not tokens[row].is_valid:
            continue
        if _are_edges(edges, sum(chars)) and min(chars, default=0) >= 0:
            share[start:end] = 1.0 - covered(chars, edges)
            known[row] = True
    return Outside(share, known)


def _are_edges(edges: Sequence[int], length: int) -> bool:
    """Say whether these are starts and ends of parts of a text, one part after the other."""
    return len(edges) % 2 == 0 and all(start <= end for start, end in pairwise([0, *edges, length]))


def covered(chars: Sequence[int], edges: Sequence[int]) -> Floats:
    """The share of each chunk's characters that lie between pairs of edges; 0 of one without any.

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
