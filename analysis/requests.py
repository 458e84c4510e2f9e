"""``requests.parquet`` of one cell as NumPy columns; the lists of chunks flattened, with the row of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import Bools, Floats, Ints, equals, floats, ints


@dataclass(frozen=True)
class Requests:
    """All requests of a cell: n rows, m chunks. Times in nanoseconds, with masks where they may be null."""

    table: pa.Table
    measured: Bools  # (n,) role is measured
    ok: Bools  # (n,) status is ok
    aborted: Bools  # (n,) status is aborted: cut off by the load generator
    scheduled_ns: Ints  # (n,)
    sent_ns: Ints  # (n,)
    end_ns: Ints  # (n,)
    timed: Bools  # (n,) sent and end are there, and in order
    misordered: Bools  # (n,) ended before it was sent, or had its first token outside its life
    first_token_ns: Ints  # (n,)
    has_first_token: Bools  # (n,)
    chunk_ns: Ints  # (m,) arrival of each chunk
    chunk_row: Ints  # (m,) the request it belongs to
    chunk_weight: Floats  # (m,) its tokens where the server says, otherwise 1
    tokens_known: Bools  # (n,) the server said how many tokens came with each chunk
    output_tokens: Floats  # (n,) NaN where nothing says
    prompt_tokens: Floats  # (n,) NaN where null
    cached_tokens: Floats  # (n,) NaN where null

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
    chunk_ns, chunk_row, weight, known = _chunks(table)
    said = floats(table, "output_tokens")
    counted = np.bincount(chunk_row, weights=weight, minlength=table.num_rows)
    return Requests(
        table=table,
        measured=equals(table, "role", "measured"),
        ok=equals(table, "status", "ok"),
        aborted=equals(table, "status", "aborted"),
        scheduled_ns=np.where(has_scheduled, scheduled_ns, sent_ns),
        sent_ns=sent_ns,
        end_ns=end_ns,
        timed=both & ~misordered,
        misordered=misordered,
        first_token_ns=first_token_ns,
        has_first_token=has_first,
        chunk_ns=chunk_ns,
        chunk_row=chunk_row,
        chunk_weight=weight,
        tokens_known=known,
        output_tokens=np.where(np.isnan(said) & known, counted, said),
        prompt_tokens=floats(table, "prompt_tokens"),
        cached_tokens=floats(table, "cached_tokens"),
    )


def _chunks(table: pa.Table) -> tuple[Ints, Ints, Floats, Bools]:
    """Chunk times (m,), their rows (m,), their tokens or 1 (m,), and which rows (n,) know their tokens."""
    times, tokens = table.column("chunk_ns").combine_chunks(), table.column("chunk_tokens").combine_chunks()
    chunk_ns = np.asarray(pc.fill_null(times.flatten(), 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    chunk_row = np.asarray(pc.list_parent_indices(times).to_numpy(zero_copy_only=False), dtype=np.int64)
    token_row = np.asarray(pc.list_parent_indices(tokens).to_numpy(zero_copy_only=False), dtype=np.int64)
    flat = pc.cast(tokens.flatten(), pa.float64())
    token_count = np.asarray(pc.fill_null(flat, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)
    rows = table.num_rows
    chunks_of = np.bincount(chunk_row, minlength=rows)
    whole = np.bincount(token_row, weights=np.isfinite(token_count) & (token_count >= 0), minlength=rows)
    listed = np.bincount(token_row, minlength=rows)
    total = np.bincount(token_row, weights=np.nan_to_num(token_count), minlength=rows)
    known = (chunks_of > 0) & (listed == chunks_of) & (whole == listed) & (total > 0)
    weight = np.ones(chunk_ns.size)
    weight[known[chunk_row]] = token_count[known[token_row]]
    return chunk_ns, chunk_row, weight, known
