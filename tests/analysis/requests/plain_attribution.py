"""Work, joules and latencies of requests as plain loops over rows: slow, and written down without any trick."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from analysis.arrays import Floats
from analysis.attribution.steps import FINEST_SHIFT
from analysis.energy.integral import Curve
from analysis.requests.window import Window

Row = dict[str, Any]


@dataclass(frozen=True)
class Plain:
    """What the loops find of n requests."""

    tokens: list[float]  # that arrived inside, of requests that ended well
    work: list[list[float]]  # (n, 4) as ``analysis.attribution.steps.KINDS``
    in_flight_j: list[float]
    gaps_ms: list[float]


def plain(rows: list[Row], window: Window, curve: Curve) -> Plain:
    """Look at one row after the other; all of them were measured, and their times are in order."""
    return Plain(
        [_tokens(row, window) if row["status"] == "ok" else 0.0 for row in rows],
        [_work(row, rows, window) for row in rows],
        _in_flight_j(rows, window, curve),
        [gap for row in rows if row["status"] == "ok" for gap in _gaps(row)],
    )


def weights(row: Row) -> list[float]:
    """Tokens of each chunk; 1 where the server does not say, or what it says makes no sense."""
    times, tokens = row["chunk_ns"] or [], row["chunk_tokens"]
    if tokens is None or len(tokens) != len(times) or None in tokens or sum(tokens) <= 0:
        return [1.0] * len(times)
    return [float(count) for count in tokens]


def _tokens(row: Row, window: Window) -> float:
    weighted = weights(row)
    times = row["chunk_ns"] or []
    if not sum(weighted):
        return float(row["output_tokens"]) if window.start_ns <= row["end_ns"] <= window.end_ns else 0.0
    inside = sum(w for w, t in zip(weighted, times, strict=True) if window.start_ns <= t <= window.end_ns)
    return inside / sum(weighted) * float(row["output_tokens"])


def _work(row: Row, rows: list[Row], window: Window) -> list[float]:
    steps = decoded = prefilled = context = before = 0.0
    for at, (t_ns, weight) in enumerate(zip(row["chunk_ns"] or [], weights(row), strict=True)):
        if window.start_ns <= t_ns <= window.end_ns:
            steps += weight / max(sum(_is_present(other, t_ns, window) for other in rows), 1)
            decoded += weight
            prefilled += max((row["prompt_tokens"] or 0) - (row["cached_tokens"] or 0), 0) if at == 0 else 0
            context += weight * ((row["prompt_tokens"] or 0) + before)
        before += weight
    return [steps, decoded, prefilled, context]


def _is_present(row: Row, t_ns: int, window: Window) -> bool:
    """Whether a moment lies between a request's first and last chunk, all three by the bins that they lie in."""
    times = row["chunk_ns"] or []
    if not times or times[-1] < window.start_ns or times[0] > window.end_ns:
        return False
    first, here, last = (
        (min(max(at_ns, window.start_ns), window.end_ns) - window.start_ns) >> FINEST_SHIFT
        for at_ns in (times[0], t_ns, times[-1])
    )
    return first <= here <= last


def _in_flight_j(rows: list[Row], window: Window, curve: Curve) -> list[float]:
    def within(at_ns: int) -> int:
        return min(max(at_ns, window.start_ns), window.end_ns)

    lives = [(within(row["sent_ns"]), within(row["end_ns"])) for row in rows]
    moments = sorted({moment for life in lives for moment in life})
    found = [0.0] * len(rows)
    for start, end in pairwise(moments):
        joules = float(
            np.diff(curve.at(np.array([start, end], dtype=np.float64) / 1e9 - window.start_ns / 1e9))[0]
        )
        flying = [at for at, (sent, ended) in enumerate(lives) if sent <= start and ended >= end]
        for at in flying:
            found[at] += joules / len(flying)
    return found


def _gaps(row: Row) -> list[float]:
    carried = [(t, w) for t, w in zip(row["chunk_ns"] or [], weights(row), strict=True) if w > 0]
    return [
        (t_ns - before_ns) / 1e6 / weight
        for (before_ns, _), (t_ns, weight) in pairwise(carried)
        for _ in range(int(weight))
    ]


def spread_of(values: list[float]) -> dict[str, float]:
    """Mean and percentiles of a list."""
    told: Floats = np.array(values)
    return {"mean": float(told.mean()), **{f"p{q}": float(np.percentile(told, q)) for q in (50, 90, 99)}}
