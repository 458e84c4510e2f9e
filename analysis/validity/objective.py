"""Say whether a rate holds a service level objective, by one window of it: it does, it does not, or nothing is said.

A rate holds where enough of the requests that were offered were good: they ended well and kept every bound. A window
speaks only where its figure would not be another one by chance, the load generator was in time, and the server was in a
state that lasts. Requests beside each other share a queue, so that of a window's n requests fewer count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from analysis.arrays import Bools, Floats
from analysis.requests.columns import Requests
from analysis.requests.latency import Latencies, kept_slo, latencies
from analysis.validity.reasons import Check, request_checks
from analysis.validity.steadiness import LEVEL, trend
from traces.rate import RateFound

Says = Literal["holds", "fails", "nothing"]
PIECES = 10
"""Stretches with as many requests each: how far their shares scatter, and whether latency goes one way along them."""
LATENCY_BOUND = 0.1
"""How far a latency may go one way within a window, as a part of its bound, to be that of a lasting state."""
BACKLOG_BOUND = 0.02
"""The same of the requests in flight, as a part of those that came."""
BACKLOG_FAILS = 0.1
"""A backlog that grows by this part of what comes, and beyond four standard deviations of what chance has in flight."""
GENERATOR = frozenset({"generator_lagged", "rate_not_reached"})
WORDS = {
    "generator_lagged": "the load generator was late",
    "rate_not_reached": "the load generator did not reach the rate",
    "tpot_unknown": "TPOT is not known: nothing was streamed, or the server does not count its tokens",
    "growing": "latency or what is in flight still grew at its end",
    "settling": "latency still fell: the server was coming to rest",
    "too_few": "too few requests to tell",
    "no_requests": "no request was sent",
}
"""Why a window says nothing."""


@dataclass(frozen=True)
class Judgement:
    """The verdict of one window on its rate."""

    says: Says
    why: str | None
    """Of ``nothing`` a key of ``WORDS``; of ``fails`` ``backlog`` where it is the backlog that fails; else None."""
    share: float | None
    """Good requests over all that were offered."""
    lo: float
    hi: float
    """The interval (95 %) of that share."""
    requests: int


def judge(
    requests: Requests,
    bounds_ms: Mapping[str, float],
    wanted: float,
    most_in_flight: int | None = None,
    *,
    is_open: bool = True,
) -> Judgement:
    """Judge the measured requests of one window.

    Args:
        requests: of all roles.
        bounds_ms: what a good request keeps, by ``ttft``, ``tpot`` or ``e2e``.
        wanted: the share of good requests from which on a rate holds, between 0 and 1.
        most_in_flight: the cap of the load, if it has one.
        is_open: whether it asks at given times, so that the load generator can be late.
    """
    latency = latencies(requests, most_in_flight)
    rows = np.flatnonzero(requests.measured)
    rows = rows[np.argsort(requests.scheduled_ns[rows], kind="stable")]
    if not rows.size:
        return Judgement("nothing", "no_requests", None, 0.0, 1.0, 0)
    good = kept_slo(requests, latency, bounds_ms)[rows]
    lo, hi = share_interval(good)
    checks = request_checks(requests, latency, is_open=is_open, is_capped=most_in_flight is not None)
    late = next((check.code for check in checks if check.failed and check.code in GENERATOR), None)
    says, why = ("nothing", late) if late else _said(requests, latency, bounds_ms, wanted, (lo, hi))
    return Judgement(says, why, float(good.mean()), lo, hi, int(rows.size))


def share_interval(good: Bools) -> tuple[float, float]:
    """Return Wilson's interval (95 %) for the share of ``good`` (n,), in the order in which requests came.

    Its n is that of independent requests: divided by how much more the shares of stretches scatter than they would by
    chance alone (Kish's design effect). Student's t stands for the normal quantile, as the stretches are few.
    """
    share, count = float(good.mean()), good.size
    pieces = min(PIECES, count // 4)
    quantile = 1.96 if pieces < 3 else float(stdtrit(pieces - 1, 0.975))
    by_chance = share * (1 - share) / count
    if pieces >= 3 and by_chance > 0:
        shares = np.array([piece.mean() for piece in np.array_split(good, pieces)])
        count = round(count / max(float(shares.var(ddof=1)) / pieces / by_chance, 1.0))
    square = quantile**2 / max(count, 1)
    middle = (share + square / 2) / (1 + square)
    half = np.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return max(middle - float(half), 0.0), min(middle + float(half), 1.0)


def requests_needed(wanted: float) -> int:
    """Count the independent requests that show that a rate holds, where one in 150 of what may fail does."""
    quantile = float(stdtrit(PIECES - 1, 0.975))
    return int(np.ceil(1.5 * quantile**2 * wanted / (1 - wanted)))


def _said(
    requests: Requests,
    latency: Latencies,
    bounds_ms: Mapping[str, float],
    wanted: float,
    interval: tuple[float, float],
) -> tuple[Says, str | None]:
    if "tpot" in bounds_ms and _untold(requests, latency):
        return "nothing", "tpot_unknown"
    direction, backlog = _direction(requests, latency, bounds_ms), _backlog(requests)
    lo, hi = interval
    if hi < wanted:
        return ("nothing", "settling") if direction < 0 else ("fails", None)
    if backlog == "fails":
        return "fails", "backlog"
    if direction > 0 or backlog == "growing":
        return "nothing", "growing"
    return ("holds", None) if lo >= wanted else ("nothing", "too_few")


def _untold(requests: Requests, latency: Latencies) -> bool:
    several = requests.completed & ~(requests.output_tokens <= 1)
    return bool((several & np.isnan(latency.tpot_ms)).any())


def _direction(requests: Requests, latency: Latencies, bounds_ms: Mapping[str, float]) -> int:
    """1 where a latency that has a bound goes up in the window, -1 where one comes down and none goes up, else 0."""
    rows = np.flatnonzero(requests.completed)
    rows = rows[np.argsort(requests.scheduled_ns[rows], kind="stable")]
    directions = set()
    for name, bound_ms in bounds_ms.items():
        values: Floats = getattr(latency, f"{name}_ms")[rows]
        line = trend(_piece_means(values[np.isfinite(values)] / bound_ms))
        if line is not None and line.significant(LATENCY_BOUND):
            directions.add(1 if line.change > 0 else -1)
    return max(directions, default=0)


def _backlog(requests: Requests) -> Literal["fails", "growing", "none"]:
    """Say whether requests pile up: those in flight go up by a part of what comes."""
    timed = requests.timed
    began, ended = np.sort(requests.scheduled_ns[timed]), np.sort(requests.end_ns[timed])
    due = np.sort(requests.scheduled_ns[requests.measured & timed])
    if due.size < 4 * PIECES:
        return "none"
    at = due[np.linspace(0, due.size - 1, 4 * PIECES).astype(int)]
    in_flight = np.searchsorted(began, at, side="right") - np.searchsorted(ended, at, side="right")
    line = trend(_piece_means(in_flight.astype(np.float64)))
    if line is None or line.p >= LEVEL or line.change <= BACKLOG_BOUND * due.size:
        return "none"
    sure = max(BACKLOG_FAILS * due.size, 4 * float(np.sqrt(in_flight[: in_flight.size // 2].mean())))
    return "fails" if line.change > sure else "growing"


def _piece_means(values: Floats) -> Floats:
    pieces = min(PIECES, values.size // 4)
    if pieces < 4:
        return np.zeros(0)
    return np.array([piece.mean() for piece in np.array_split(values, pieces)])


def judged(rate: RateFound, requests: Requests) -> Judgement:
    """Say what the window of a cell says of its rate, within the bounds of its load."""
    return judge(requests, rate.slo_ms, rate.wanted_share, rate.max_in_flight)


def rate_checks(rate: RateFound | None, requests: Requests) -> Iterator[Check]:
    """Check that a rate holds, that the cell's own window confirms it, and note where no higher one failed.

    Nothing where the rate of a load was not looked for.
    """
    if rate is None:
        return
    last = rate.windows[-1].share if rate.windows else None
    holds_none = rate.kind == "none"
    yield Check("no_rate_holds", holds_none, last, "ratio", lo=rate.wanted_share)
    if holds_none:
        return
    judgement = judged(rate, requests)
    too_few = judgement.why == "too_few" and (judgement.share or 0.0) >= rate.wanted_share
    confirmed = rate.confirmed and (judgement.says == "holds" or too_few)
    yield Check("rate_not_confirmed", not confirmed, judgement.share, "ratio", lo=rate.wanted_share)
    at_least = rate.kind == "at_least"
    yield Check("rate_at_least", False, rate.rate, "requests/s", noted=at_least and confirmed)
