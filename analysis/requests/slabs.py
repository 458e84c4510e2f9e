"""The chunks of a cell's requests, a slab of requests at a time: what holds for all is added up over the slabs.

Slabs are cut by their chunks alone, never by how the file lies on the disk: sums over them are the same to the last
bit, whatever its row groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import Bools, Floats, Ints
from traces.pieces import Trace

SLAB_CHUNKS = 1 << 16  # worked on at once: temporaries stay small whatever the size of a trace
TIMES = ("chunk_ns", "chunk_tokens")
CHARS = "chunk_chars"


@dataclass(frozen=True)
class Slab:
    """Requests ``first`` to ``last`` (excluded) with their c chunks, in the order they came."""

    first: int
    last: int
    starts: Ints  # (last - first + 1,) chunks of its i-th request are starts[i] to starts[i + 1]
    chunk_ns: Ints  # (c,) arrival of each chunk
    weight: Floats  # (c,) its tokens where the server says, otherwise 1
    told: Bools  # (last - first,) the server said anything of how many tokens came with each chunk
    known: Bools  # (last - first,) ... and it makes sense
    # (last - first,) lists of the characters of each chunk; None where nobody asked for them
    chars: pa.Array | None

    @property
    def rows(self) -> slice:
        """Select its requests from arrays with a value a request."""
        return slice(self.first, self.last)

    @property
    def counts(self) -> Ints:
        """Count the chunks of each request, (last - first,)."""
        return np.diff(self.starts)

    def per_request(self, values: Floats | Ints | Bools) -> Floats:
        """Return sums of ``values`` (one a chunk of this slab) over each request's chunks."""
        return sums(values, self.starts)

    def spread(self, values: Floats) -> Floats:
        """Spread ``values`` (one a request of this slab) over each request's chunks."""
        return np.repeat(values, self.counts)


class Viewer(Protocol):
    """A computation over chunks, slab by slab."""

    def see(self, slab: Slab) -> None:
        """Look at the next slab."""


class Chunks:
    """All chunks of a trace, as often as they are asked for; where they are few they are kept."""

    def __init__(self, trace: Trace) -> None:
        """Read nothing yet."""
        self._trace = trace
        self._only: Slab | None = None

    @property
    def kept(self) -> bool:
        """Say whether they are at hand, so that looking at them again costs no reading."""
        return self._only is not None

    def show(self, *viewers: Viewer, chars: bool = False, every_column: bool = False) -> None:
        """Show all slabs in their order to each of ``viewers``: one pass over the file.

        Args:
            viewers: who looks.
            chars: whether they want to know how many characters each chunk brought.
            every_column: read all of the trace, so that what is wrong with any column is found.

        Raises:
            TraceError: it cannot be read, or holds what no writer of ours writes.
        """
        for slab in self._slabs(chars=chars, every_column=every_column):
            for viewer in viewers:
                viewer.see(slab)

    def _slabs(self, *, chars: bool, every_column: bool) -> Iterator[Slab]:
        if self._only is not None:
            yield self._only
            return
        wanted = [*TIMES, *([CHARS] if chars or every_column else [])]
        names = self._trace.schema.names if every_column else wanted
        only = None
        for slab in _cut(piece.select(wanted) for piece in self._trace.pieces(names)):
            only = slab if slab.first == 0 else None
            yield slab
        if every_column:  # else a later viewer may miss characters
            self._only = only


def sums(values: Floats | Ints | Bools, starts: Ints) -> Floats:
    """Sum ``values`` over consecutive pieces, piece i from ``starts[i]`` to ``starts[i + 1]``; 0 for empty ones."""
    totals = np.zeros(starts.size - 1)
    filled = starts[1:] > starts[:-1]
    if filled.any():
        totals[filled] = np.add.reduceat(values, starts[:-1][filled], dtype=np.float64)
    return totals


def _cut(pieces: Iterator[pa.Table]) -> Iterator[Slab]:
    """As many requests to a slab as have ``SLAB_CHUNKS`` chunks together, and one at least."""
    first, rest = 0, None
    for piece in pieces:
        rest = piece if rest is None else pa.concat_tables([rest, piece])
        while (rows := _rows_of_a_slab(rest)) is not None:
            yield _slab(first, rest.slice(0, rows))
            first, rest = first + rows, rest.slice(rows)
    if rest is not None and rest.num_rows:
        yield _slab(first, rest)


def _rows_of_a_slab(table: pa.Table) -> int | None:
    """Return how many of its first rows make a slab; None where there may be more to come."""
    starts = _starts(table[TIMES[0]])
    if starts[-1] <= SLAB_CHUNKS:
        return None
    rows = max(int(np.searchsorted(starts, SLAB_CHUNKS, side="right")) - 1, 1)
    return rows if rows < table.num_rows else None


def _slab(first: int, table: pa.Table) -> Slab:
    times, starts = _flat(table, "chunk_ns")
    tokens, token_starts = _flat(table, "chunk_tokens")
    chunk_ns = np.asarray(_filled(times, 0), dtype=np.int64)
    weight, known = _weights(starts, _filled(tokens, -1), token_starts)
    told = np.asarray(table["chunk_tokens"].is_valid().to_numpy())
    chars = _whole(table[CHARS]) if CHARS in table.column_names else None
    return Slab(first, first + table.num_rows, starts, chunk_ns, weight, told, known, chars)


def _weights(starts: Ints, count: Ints, token_starts: Ints) -> tuple[Floats, Bools]:
    """Tokens of each chunk or 1 (c,), and of which requests they are known."""
    chunks_of, listed = np.diff(starts), np.diff(token_starts)
    if count.size == starts[-1] and (chunks_of == listed).all() and (not count.size or count.min() > 0):
        return count.astype(np.float64), chunks_of > 0
    whole = sums(count >= 0, token_starts) == listed
    total = sums(np.maximum(count, 0), token_starts)
    known = (chunks_of > 0) & (listed == chunks_of) & whole & (total > 0)
    weight = np.ones(int(starts[-1]))
    weight[np.repeat(known, chunks_of)] = count[np.repeat(known, listed)]
    return weight, known


def _flat(table: pa.Table, name: str) -> tuple[pa.Array, Ints]:
    """Return a column of lists as its values, and where each row's start (n + 1,); null lists are empty."""
    lists = _whole(table[name])
    return lists.flatten(), _starts(lists)


def _starts(lists: pa.Array | pa.ChunkedArray) -> Ints:
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return np.concatenate(([0], np.cumsum(np.asarray(lengths.to_numpy()), dtype=np.int64)))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _filled(values: pa.Array, null: int) -> Ints:
    whole = values if values.null_count == 0 else pc.fill_null(values, null)
    return np.asarray(whole.to_numpy(zero_copy_only=False))
