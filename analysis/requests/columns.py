"""``requests.parquet`` of one cell as NumPy columns, a value a request; of its chunks what one look at them tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.arrays import Bools, Floats, Ints, equals, floats, ints
from analysis.requests.gaps import Gaps
from analysis.requests.inside import Inside, Spans, Window
from analysis.requests.pulse import Pulse
from analysis.requests.slabs import Chunks
from traces.pieces import InMemory, Trace

_TIMES = ("scheduled_ns", "sent_ns", "end_ns", "first_token_ns")
_COUNTS = ("output_tokens", "prompt_tokens", "cached_tokens")


@dataclass(frozen=True)
class Requests:
    """All requests of a cell: n rows. Times in nanoseconds, with masks where they may be null."""

    trace: Trace = field(repr=False)
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
    output_tokens: Floats  # (n,) NaN where nothing says
    prompt_tokens: Floats  # (n,) NaN where null
    cached_tokens: Floats  # (n,) NaN where null
    chunks: Chunks = field(repr=False)
    spans: Spans = field(repr=False)  # of their chunks
    gaps: Gaps = field(repr=False)  # between tokens of the completed ones
    window: Window | None  # from the first measured one sent to the last one's end; None where none completed
    inside: Inside | None = field(repr=False)  # of that window
    pulse: Pulse | None = field(repr=False)  # of their chunks in it

    @property
    def count(self) -> int:
        """Return requests of all roles."""
        return int(self.measured.size)

    @property
    def completed(self) -> Bools:
        """Return measured requests that ended well, with times in order: what latency is computed from."""
        return self.measured & self.ok & self.timed

    def inside_of(self, window: Window) -> Inside:
        """Return what of their chunks lies in a window: known of their own, a pass over all chunks of another one."""
        if self.inside is not None and self.inside.window == window:
            return self.inside
        inside = Inside(self.count, window)
        self.chunks.show(inside)
        return inside

    def column(self, name: str) -> pa.ChunkedArray:
        """Read a column of the trace, whole."""
        return self.trace.read([name])[name]


def read_columns(requests: pa.Table | Trace) -> Requests:
    """Read the columns of a ``requests`` trace (traces/schemas.py), in the first of two passes over its chunks.

    Raises:
        TraceError: it cannot be read, or holds what no writer of ours writes.
    """
    trace = InMemory(requests) if isinstance(requests, pa.Table) else requests
    told = _told(trace)
    timed, said = told["timed"], told.pop("output_tokens")
    completed = told["measured"] & told["ok"] & timed
    window = _window(told["measured"] & timed, completed, told["sent_ns"], told["end_ns"])
    chunks, spans, gaps = Chunks(trace), Spans(timed.size), Gaps(completed)
    inside, pulse = (None, None) if window is None else (Inside(timed.size, window), Pulse(window))
    of_window = [viewer for viewer in (inside, pulse) if viewer is not None]
    chunks.show(spans, gaps, *of_window, every_column=True)
    return Requests(
        trace=trace,
        output_tokens=np.where(np.isnan(said) & spans.known, spans.tokens, said),
        chunks=chunks,
        spans=spans,
        gaps=gaps,
        window=window,
        inside=inside,
        pulse=pulse,
        **told,
    )


def replays_lengths(requests: Requests) -> bool:
    """Say whether prompts and answers were to have the lengths of a recording."""
    names = requests.trace.schema.names
    if "asked_prompt_tokens" not in names:
        return False
    return any(
        piece.column(0).null_count < piece.num_rows
        for piece in requests.trace.pieces(["asked_prompt_tokens"])
    )


def _told(trace: Trace) -> dict[str, npt.NDArray[Any]]:
    """Return what the trace says of each of n requests, by the fields of ``Requests``, (n,) each."""
    pieces = [_columns_of(piece) for piece in trace.pieces(["role", "status", *_TIMES, *_COUNTS])]
    # Each piece's column is let go as it is joined: there are many requests.
    return {name: np.concatenate([piece.pop(name) for piece in pieces]) for name in list(pieces[0])}


def _columns_of(piece: pa.Table) -> dict[str, npt.NDArray[Any]]:
    times = {name: ints(piece, name) for name in _TIMES}
    scheduled_ns, due_known = times["scheduled_ns"]
    sent_ns, has_sent = times["sent_ns"]
    end_ns, has_end = times["end_ns"]
    first_token_ns, has_first_token = times["first_token_ns"]
    both = has_sent & has_end
    outside = has_first_token & ((first_token_ns < sent_ns) | (first_token_ns > end_ns))
    misordered = both & ((end_ns < sent_ns) | outside)
    return {
        "measured": equals(piece, "role", "measured"),
        "ok": equals(piece, "status", "ok"),
        "aborted": equals(piece, "status", "aborted"),
        "scheduled_ns": np.where(due_known, scheduled_ns, sent_ns),
        "due_known": due_known,
        "sent_ns": sent_ns,
        "end_ns": end_ns,
        "timed": both & ~misordered,
        "misordered": misordered,
        "first_token_ns": first_token_ns,
        "has_first_token": has_first_token,
        **{name: floats(piece, name) for name in _COUNTS},
    }


def _window(rows: Bools, completed: Bools, sent_ns: Ints, end_ns: Ints) -> Window | None:
    """Return from when the first of these rows was sent to the last one's end; None where none completed."""
    if not completed.any():
        return None
    window = Window(int(sent_ns[rows].min()), int(end_ns[rows].max()))
    return window if window.end_ns > window.start_ns else None
