"""The window of a cell, recomputed from its requests; what of each request fell into it; rates and goodput.

The window runs from the moment the first measured request was sent to the end of the last one. It is fixed
by the measured set alone, never by looking at power or throughput. Loads keep their occupancy with warm-up
requests before it and filler after, so requests straddle both edges: of those, the share of their output
tokens that arrived inside counts.

Rates have the window's seconds as well, but for an open load whose answers take less than the gap to the next request:
its N requests have N-1 gaps between them, and their rate is that of N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays import Bools, Floats, floats, ints
from analysis.requests.columns import Requests
from analysis.requests.inside import Window

__all__ = ["Window", "WindowShare", "measured_window", "rated", "shares_in"]


@dataclass(frozen=True)
class WindowShare:
    """Hold what of each of n requests fell into the window, and what the load's rates are."""

    window: Window
    share: Floats  # (n,) of its output tokens, 0 to 1; 0 for requests that failed
    tokens: Floats  # (n,) output tokens that arrived inside; NaN where the server said nothing of tokens

    @property
    def requests(self) -> float:
        """Return requests' worth of output in the window: the denominator of J/request."""
        return float(self.share.sum())

    @property
    def output_tokens(self) -> float | None:
        """Return output tokens in the window, or None where some request's tokens are not known."""
        total = float(self.tokens.sum())
        return total if np.isfinite(total) else None

    @property
    def request_rate(self) -> float:
        """Return requests' worth of output a second."""
        return self.requests / self.window.seconds

    @property
    def output_token_rate(self) -> float | None:
        """Return output tokens a second, or None where some request's are not known."""
        tokens = self.output_tokens
        return None if tokens is None else tokens / self.window.seconds

    def goodput(self, slo_share: float | None) -> float | None:
        """Return requests a second that kept every bound, by their share of those that completed."""
        return None if slo_share is None else slo_share * self.request_rate


def measured_window(requests: Requests) -> Window | None:
    """Find the window: first measured ``sent_ns`` to last measured ``end_ns``; None where none completed."""
    return requests.window


def shares_in(requests: Requests, window: Window) -> WindowShare:
    """Return the share of each request's output tokens that arrived inside ``window``.

    Where the server does not say how many tokens came with a chunk, each chunk of a request counts the same.
    A completed request without any chunk counts where it ended. A request that the load generator cut off
    (``aborted``: filler at the end of the drain) would have had more tokens than it got, so its share is its
    tokens inside over the mean output of the completed requests, at most 1; where it has no chunks, they are taken to
    have come evenly from its first token to its end. Other failures count 0.
    """
    total, within = requests.spans.tokens, requests.inside_of(window).tokens
    even = (
        requests.aborted
        & (total == 0)
        & (requests.output_tokens > 0)
        & requests.has_first_token
        & requests.timed
    )
    if even.any():
        total, within = total.copy(), within.copy()
        total[even] = requests.output_tokens[even]
        within[even] = total[even] * _time_inside(requests, window)[even]
    ended_inside = (requests.end_ns >= window.start_ns) & (requests.end_ns <= window.end_ns)
    fraction = np.where(total > 0, within / np.where(total > 0, total, 1.0), ended_inside.astype(np.float64))
    tokens = np.where(fraction > 0, fraction * requests.output_tokens, 0.0)
    counts = requests.ok & requests.timed
    share = np.where(counts, fraction, 0.0)
    cut = requests.aborted & (total > 0)
    share = np.where(cut, _share_of_aborted(requests, counts, within, tokens), share)
    tokens = np.where(counts | cut, np.where(cut & np.isnan(tokens), within, tokens), 0.0)
    return WindowShare(window, share, tokens)


def rated(requests: Requests, share: WindowShare, qps: float | None) -> WindowShare:
    """Return what the rates of an open load are of: its window, but at least N mean gaps for its N requests.

    Without the last gap one request at 1/s that takes 10 ms would be 100/s.

    Args:
        requests: the whole load's.
        share: of its window.
        qps: the rate that was asked for; None where it was drawn from a file or searched, and requests alone tell it.
    """
    window, due_ns = share.window, requests.scheduled_ns[requests.measured & requests.timed]
    gap_ns = 1e9 / qps if qps else float(np.ptp(due_ns)) / max(due_ns.size - 1, 1)
    end_ns = max(window.end_ns, int(due_ns.max()) + round(gap_ns))
    return share if end_ns == window.end_ns else shares_in(requests, Window(window.start_ns, end_ns))


def _time_inside(requests: Requests, window: Window) -> Floats:
    """Return the share of the time from its first token to its end that lies in the window, (n,)."""
    first_ns, end_ns = requests.first_token_ns, requests.end_ns
    inside_ns = np.minimum(end_ns, window.end_ns) - np.maximum(first_ns, window.start_ns)
    share: Floats = np.clip(inside_ns / np.maximum(end_ns - first_ns, 1), 0.0, 1.0)
    return share


def _share_of_aborted(requests: Requests, counts: Bools, within: Floats, tokens: Floats) -> Floats:
    """Tokens inside over the mean output of completed requests, (n,), at most 1."""
    lengths = requests.output_tokens[counts & np.isfinite(requests.output_tokens)]
    typical = float(lengths.mean()) if lengths.size else 0.0
    if typical <= 0:
        return np.zeros(requests.count)
    return np.minimum(np.where(np.isfinite(tokens), tokens, within) / typical, 1.0)


def rise_of(engine: pa.Table, name: str, window: Window) -> float | None:
    """Read it from the last reading before the window to the first after; None below two readings."""
    t_ns, _ = ints(engine, "t_ns")
    total = floats(engine, name)
    known = np.isfinite(total)
    t_ns, total = t_ns[known], total[known]
    if t_ns.size < 2:
        return None
    first = max(int(np.searchsorted(t_ns, window.start_ns, side="right")) - 1, 0)
    last = min(int(np.searchsorted(t_ns, window.end_ns, side="left")), t_ns.size - 1)
    return float(total[last] - total[first])
