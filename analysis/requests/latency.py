"""Latency, throughput and the share of requests within the SLO; milliseconds, from ``scheduled_ns`` on.

Counting from the scheduled time keeps a late generator from hiding a slow server; how late it was is
``dispatch_lag``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.arrays import Bools, Floats, Ints, spread
from analysis.requests.columns import Requests
from analysis.requests.gaps import Gaps, Spread

_NO_TIME_NS = 10_000
"""Between two tokens: of an answer that was not streamed, or not by everything between its server and us."""


@dataclass(frozen=True)
class Latencies:
    """Hold the latencies of n requests, NaN where a request has none (no token, one token, did not end well)."""

    ttft_ms: Floats  # (n,) first_token_ns - scheduled_ns
    e2e_ms: Floats  # (n,) end_ns - scheduled_ns
    tpot_ms: Floats  # (n,) (end_ns - first_token_ns) / (output tokens - 1), from two tokens on
    dispatch_lag_ms: (
        Floats  # (n,) sent_ns - scheduled_ns, less the wait for a place; NaN where nobody says when due
    )
    itl: Gaps | None  # before each token after a measured request's first chunk; None: nothing was streamed
    at_once: Bools  # (n,) completed, and its several tokens came in no time: no model is as quick as that


def latencies(requests: Requests, most_in_flight: int | None = None) -> Latencies:
    """Compute the latencies of all completed requests; inter-token gaps of the measured ones alone.

    Where most completed ones came at once, nothing was streamed, and there is no time between tokens.

    ``most_in_flight``: the cap of an open load, if it has one. What waited for a place was not late by the generator.
    """
    good = requests.ok & requests.timed
    first = good & requests.has_first_token
    several = first & (requests.output_tokens > 1)
    lag_ms = (requests.sent_ns - _could_be_sent_ns(requests, most_in_flight)) / 1e6
    after_first = (requests.end_ns - requests.first_token_ns) / 1e6
    timed = Latencies(
        ttft_ms=np.where(first, (requests.first_token_ns - requests.scheduled_ns) / 1e6, np.nan),
        e2e_ms=np.where(good, (requests.end_ns - requests.scheduled_ns) / 1e6, np.nan),
        tpot_ms=np.where(several, after_first / np.where(several, requests.output_tokens - 1, 1.0), np.nan),
        dispatch_lag_ms=np.where(requests.timed & requests.due_known, lag_ms, np.nan),
        itl=requests.gaps,
        at_once=_came_at_once(requests),
    )
    if 2 * timed.at_once.sum() <= requests.completed.sum():
        return timed
    return replace(timed, itl=None, tpot_ms=np.full_like(timed.tpot_ms, np.nan))


def latency_spreads(requests: Requests, latency: Latencies, itl: Spread | None = None) -> dict[str, Spread]:
    """List by name the mean and percentiles of each latency of the measured requests; milliseconds.

    Each is of completed requests, ``itl`` of their tokens, and ``dispatch_lag`` of all that were sent.

    ``itl``: that of the tokens, where it is known already; else it takes a pass over all chunks where they are many.
    """
    completed = requests.completed
    nothing_streamed = latency.itl is None
    return {
        "ttft": spread(latency.ttft_ms[completed]),
        "tpot": spread(latency.tpot_ms[completed]),
        "itl": spread(np.zeros(0)) if nothing_streamed else itl or requests.gaps.spread(requests.chunks),
        "e2e": spread(latency.e2e_ms[completed]),
        "dispatch_lag": spread(latency.dispatch_lag_ms[requests.measured & requests.timed]),
    }


def kept_slo(requests: Requests, latency: Latencies, bounds_ms: Mapping[str, float]) -> Bools:
    """Tell which completed measured requests were good: kept every bound (n,).

    Args:
        requests: n of them.
        latency: theirs.
        bounds_ms: by ``ttft``, ``tpot`` or ``e2e``; an answer of one token has no time between tokens.
    """
    kept = requests.completed.copy()
    for name, bound_ms in bounds_ms.items():
        values: Floats = getattr(latency, f"{name}_ms")
        kept &= (values <= bound_ms) | ((name == "tpot") & (requests.output_tokens <= 1))
    return kept


def slo_share(requests: Requests, latency: Latencies, bounds_ms: Mapping[str, float]) -> float | None:
    """Compute the share of completed measured requests that kept every bound.

    None where none completed, or where TPOT has a bound and an answer's is not known.
    """
    completed = requests.completed
    untold = completed & ~(requests.output_tokens <= 1) & np.isnan(latency.tpot_ms)
    if not completed.any() or ("tpot" in bounds_ms and untold.any()):
        return None
    return float(kept_slo(requests, latency, bounds_ms).sum() / completed.sum())


def _could_be_sent_ns(requests: Requests, most_in_flight: int | None) -> Ints:
    """Find when a request was due and had a place: of N, the k-th request sent had one once k - N had ended."""
    could_ns = requests.scheduled_ns.copy()
    rows = np.flatnonzero(requests.timed)
    if most_in_flight is None or rows.size <= most_in_flight:
        return could_ns
    rows = rows[np.argsort(requests.sent_ns[rows], kind="stable")][most_in_flight:]
    ended_ns = np.sort(requests.end_ns[requests.timed])[: rows.size]
    could_ns[rows] = np.maximum(could_ns[rows], np.minimum(ended_ns, requests.sent_ns[rows]))
    return could_ns


def _came_at_once(requests: Requests) -> Bools:
    chunks = requests.spans.chunks
    rows = np.flatnonzero(requests.completed & (chunks > 0))
    last, first = requests.spans.last_ns[rows], requests.spans.first_ns[rows]
    span_ns = last - np.where(requests.has_first_token[rows], requests.first_token_ns[rows], first)
    gaps = np.fmax(requests.output_tokens[rows], chunks[rows]) - 1
    at_once = np.zeros(chunks.size, dtype=np.bool_)
    at_once[rows] = (gaps > 0) & (span_ns < gaps * _NO_TIME_NS)
    return at_once
