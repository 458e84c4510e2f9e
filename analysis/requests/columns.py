"""``requests.parquet`` of one cell as NumPy columns; the lists of chunks flattened, with where each row's start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import Bools, Floats, Ints, equals, floats, ints

SLAB_CHUNKS = 1 << 20  # worked on at once: temporaries stay small whatever the size of a trace


@dataclass(frozen=True)
class Slab:
    """Requests ``first`` to ``last`` (excluded), and where their chunks start."""

    first: int
    last: int
    starts: Ints  # (last - first + 1,) into the chunks of all

    @property
    def rows(self) -> slice:
        """Select its requests from arrays with a value a request."""
        return slice(self.first, self.last)

    @property
    def chunks(self) -> slice:
        """Select its chunks from arrays with a value a chunk."""
        return slice(int(self.starts[0]), int(self.starts[-1]))

    def per_request(self, values: Floats | Ints | Bools) -> Floats:
        """Sums of ``values`` (one a chunk of this slab) over each request's chunks."""
        return sums(values, self.starts - self.starts[0])

    def spread(self, values: Floats) -> Floats:
        """``values`` (one a request of this slab) to each request's chunks."""
        return np.repeat(values, np.diff(self.starts))


def sums(values: Floats | Ints | Bools, starts: Ints) -> Floats:
    """Sums over consecutive pieces of ``values``, piece i from ``starts[i]`` to ``starts[i + 1]``; 0 for empty ones."""
    totals = np.zeros(starts.size - 1)
    filled = starts[1:] > starts[:-1]
    if filled.any():
        totals[filled] = np.add.reduceat(values, starts[:-1][filled], dtype=np.float64)
    return totals


@dataclass(frozen=True)
class Requests:
    """All requests of a cell: n rows, m chunks. Times in nanoseconds, with masks where they may be null."""

    table: pa.Table
    measured: Bools  # (n,) role is measured
    ok: Bools  # (n,) status is ok
    aborted: Bools  # (n,) status is aborted: cut off by the load generator
    scheduled_ns: Ints  # (n,) when it was sent, where nobody says when it was due
    due_known: Bools  # (n,) somebody does
    sent_ns: Ints  # (n,)
    end_ns: Ints  # (n,)
    timed: Bools  # (n,) sent and end are there, and in order
    misordered: Bools  # (n,) ended before it was sent, or had its first token outside its life
    first_token_ns: Ints  # (n,)
    has_first_token: Bools  # (n,)
    chunk_ns: Ints  # (m,) arrival of each chunk
    # (n + 1,) chunks of request i are chunk_start[i] to chunk_start[i + 1], in the order they came
    chunk_start: Ints
    chunk_weight: Floats  # (m,) its tokens where the server says, otherwise 1
    tokens_known: Bools  # (n,) the server said how many tokens came with each chunk
    output_tokens: Floats  # (n,) NaN where nothing says
    prompt_tokens: Floats  # (n,) NaN where null
    cached_tokens: Floats  # (n,) NaN where null

    def slabs(self) -> Iterator[Slab]:
        """All requests, so many at a time that work on their chunks fits into a cache's reach of memory."""
        first = 0
        while first < self.count:
            reach = int(self.chunk_start[first]) + SLAB_CHUNKS
            last = max(int(np.searchsorted(self.chunk_start, reach, side="right")) - 1, first + 1)
            yield Slab(first, last, self.chunk_start[first : last + 1])
            first = last

    @property
    def count(self) -> int:
        """Requests of all roles."""
        return int(self.measured.size)

    @property
    def completed(self) -> Bools:
        """Measured requests that ended well, with times in order: what latency is computed from."""
        return self.measured & self.ok & self.timed


def read_columns(table: pa.Table) -> Requests:
    """Columns of a ``requests`` trace (traces/schemas.py)."""
    scheduled_ns, has_scheduled = ints(table, "scheduled_ns")
    sent_ns, has_sent = ints(table, "sent_ns")
    end_ns, has_end = ints(table, "end_ns")
    first_token_ns, has_first = ints(table, "first_token_ns")
    both = has_sent & has_end
    misordered = (both & (end_ns < sent_ns)) | (
        has_first & both & ((first_token_ns < sent_ns) | (first_token_ns > end_ns))
    )
    chunk_ns, chunk_start, weight, known = _chunks(table)
    said = floats(table, "output_tokens")
    counted = sums(weight, chunk_start)
    return Requests(
        table=table,
        measured=equals(table, "role", "measured"),
        ok=equals(table, "status", "ok"),
        aborted=equals(table, "status", "aborted"),
        scheduled_ns=np.where(has_scheduled, scheduled_ns, sent_ns),
        due_known=has_scheduled,
        sent_ns=sent_ns,
        end_ns=end_ns,
        timed=both & ~misordered,
        misordered=misordered,
        first_token_ns=first_token_ns,
        has_first_token=has_first,
        chunk_ns=chunk_ns,
        chunk_start=chunk_start,
        chunk_weight=weight,
        tokens_known=known,
        output_tokens=np.where(np.isnan(said) & known, counted, said),
        prompt_tokens=floats(table, "prompt_tokens"),
        cached_tokens=floats(table, "cached_tokens"),
    )


def replays_lengths(requests: Requests) -> bool:
    """Say whether prompts and answers were to have the lengths of a recording."""
    table = requests.table
    return "asked_prompt_tokens" in table.column_names and table["asked_prompt_tokens"].null_count < len(
        table
    )


def _chunks(table: pa.Table) -> tuple[Ints, Ints, Floats, Bools]:
    """Chunk times (m,), where each request's start (n + 1,), their tokens or 1 (m,), which rows (n,) know these."""
    times, chunk_start = _flat(table, "chunk_ns")
    tokens, token_start = _flat(table, "chunk_tokens")
    chunk_ns = np.asarray(_filled(times, 0), dtype=np.int64)
    count = _filled(tokens, -1)
    chunks_of, listed = np.diff(chunk_start), np.diff(token_start)
    if count.size == chunk_ns.size and (chunks_of == listed).all() and (not count.size or count.min() > 0):
        return chunk_ns, chunk_start, count.astype(np.float64), chunks_of > 0
    whole = sums(count >= 0, token_start) == listed
    total = sums(np.maximum(count, 0), token_start)
    known = (chunks_of > 0) & (listed == chunks_of) & whole & (total > 0)
    weight = np.ones(chunk_ns.size)
    weight[np.repeat(known, chunks_of)] = count[np.repeat(known, listed)]
    return chunk_ns, chunk_start, weight, known


def _flat(table: pa.Table, name: str) -> tuple[pa.Array, Ints]:
    """A column of lists as its values, and where each row's start (n + 1,); null lists are empty."""
    lists = table.column(name).combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return lists.flatten(), np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def _filled(values: pa.Array, null: int) -> Ints:
    whole = values if values.null_count == 0 else pc.fill_null(values, null)
    return np.asarray(whole.to_numpy(zero_copy_only=False))
