"""Latency of requests and throughput of a cell; milliseconds, from ``scheduled_ns`` on.

Counting from the scheduled time keeps a late generator from hiding a slow server; how late it was is
``dispatch_lag``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.arrays import Bools, Floats, Ints
from analysis.requests.columns import Requests


@dataclass(frozen=True)
class Latencies:
    """Of n requests, NaN where a request has none (no token, one token, did not end well)."""

    ttft_ms: Floats  # (n,) first_token_ns - scheduled_ns
    e2e_ms: Floats  # (n,) end_ns - scheduled_ns
    tpot_ms: Floats  # (n,) (end_ns - first_token_ns) / (output tokens - 1), from two tokens on
    dispatch_lag_ms: (
        Floats  # (n,) sent_ns - scheduled_ns, less the wait for a place; NaN where nobody says when due
    )
    itl_ms: Floats  # (tokens,) gap before each token after a measured request's first chunk


def latencies(requests: Requests, most_in_flight: int | None = None) -> Latencies:
    """Per-request latencies of all completed requests; inter-token gaps of the measured ones alone.

    ``most_in_flight``: the cap of an open load, if it has one. What waited for a place was not late by the generator.
    """
    good = requests.ok & requests.timed
    first = good & requests.has_first_token
    several = first & (requests.output_tokens > 1)
    lag_ms = (requests.sent_ns - _could_be_sent_ns(requests, most_in_flight)) / 1e6
    after_first = (requests.end_ns - requests.first_token_ns) / 1e6
    return Latencies(
        ttft_ms=np.where(first, (requests.first_token_ns - requests.scheduled_ns) / 1e6, np.nan),
        e2e_ms=np.where(good, (requests.end_ns - requests.scheduled_ns) / 1e6, np.nan),
        tpot_ms=np.where(several, after_first / np.where(several, requests.output_tokens - 1, 1.0), np.nan),
        dispatch_lag_ms=np.where(requests.timed & requests.due_known, lag_ms, np.nan),
        itl_ms=_inter_token_ms(requests),
    )


def kept_slo(requests: Requests, latency: Latencies, bounds_ms: Mapping[str, float]) -> Bools:
    """Tell which completed measured requests were good: kept every bound (n,).

    Args:
        requests: n of them.
        latency: theirs.
        bounds_ms: by ``ttft``, ``tpot``, ``e2e`` or ``itl``; an answer of one token has no time between tokens.
    """
    kept = requests.completed.copy()
    for name, bound_ms in bounds_ms.items():
        values: Floats = getattr(latency, f"{name}_ms")
        kept &= (values <= bound_ms) | ((name == "tpot") & (requests.output_tokens <= 1))
    return kept


def _could_be_sent_ns(requests: Requests, most_in_flight: int | None) -> Ints:
    """When a request was due and had a place: of N places, the k-th request sent had one once k - N had ended."""
    could_ns = requests.scheduled_ns.copy()
    rows = np.flatnonzero(requests.timed)
    if most_in_flight is None or rows.size <= most_in_flight:
        return could_ns
    rows = rows[np.argsort(requests.sent_ns[rows], kind="stable")][most_in_flight:]
    ended_ns = np.sort(requests.end_ns[requests.timed])[: rows.size]
    could_ns[rows] = np.maximum(could_ns[rows], np.minimum(ended_ns, requests.sent_ns[rows]))
    return could_ns


def _inter_token_ms(requests: Requests) -> Floats:
    """Gaps between successive chunks of a request; a chunk of k tokens gives k gaps of a k-th each.

    A chunk is not a token: counted whole, a server that sends two tokens at a time would look half as fast.
    Where tokens per chunk are not known, a chunk counts once.
    """
    found, completed = [np.zeros(0)], requests.completed
    for slab in requests.slabs():
        rows = np.repeat(np.arange(slab.first, slab.last), np.diff(slab.starts))
        carries = (requests.chunk_weight[slab.chunks] > 0) & completed[rows]
        rows, times = rows[carries], requests.chunk_ns[slab.chunks][carries]
        same = rows[1:] == rows[:-1]
        gaps = np.diff(times)[same] / 1e6
        count = requests.chunk_weight[slab.chunks][carries][1:][same]
        found.append(np.repeat(gaps / count, count.astype(np.int64)))
    return np.concatenate(found)
