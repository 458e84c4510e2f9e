"""Whether a cell is what its search says: measured at a rate that holds, by the cell's own window judged anew."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.requests.columns import Requests
from analysis.validity.objective import Judgement, judge
from analysis.validity.reasons import Check
from traces.rate import RateFound


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
