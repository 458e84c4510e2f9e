"""Write a search as a person reads it, and as ``rate.json`` keeps it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from analysis.requests.columns import Requests
from analysis.validity.objective import GENERATOR, WORDS, Judgement
from configs.loads import FindRate

if TYPE_CHECKING:
    from study.rate.find import SearchResult


def as_json(result: SearchResult, wanted: FindRate) -> dict[str, Any]:
    """Return what ``rate.json`` keeps of a search; a cell's record is a ``RateFound``."""
    rows = [{**asdict(window.trial), **asdict(window.judgement)} for window in result.windows]
    return {
        "slo_ms": dict(wanted.bounds_ms),
        "share": wanted.share,
        "arrivals": wanted.arrivals,
        **asdict(result.answer),
        "lo": result.lo,
        "hi": result.hi,
        "interrupted": result.interrupted,
        "alone": asdict(result.alone),
        "windows": rows,
    }


def in_words(result: SearchResult, wanted: FindRate) -> str:
    """Return the answer as a person reads it."""
    answer = result.answer
    bounds = ", ".join(f"{name} {bound:g} ms" for name, bound in wanted.bounds_ms.items())
    slo = f"{100 * wanted.share:g} % of requests within {bounds}"
    if answer.kind == "none":
        rates = (
            "one request at a time does not" if not result.windows else f"{answer.fails:g} requests/s do not"
        )
        return f"no rate holds {slo}: {rates}"
    if answer.rate is None:
        below = "" if answer.fails is None else f"; {answer.fails:g} requests/s do not hold it"
        return f"no rate is known to hold {slo}: windows said nothing before the search was over{below}"
    unsure = "" if answer.confirmed else ", not confirmed by a long window"
    if answer.kind == "at_least":
        late = sorted(window.trial.rate for window in result.windows if window.judgement.why in GENERATOR)
        why = f": from {late[0]:g} on the load generator was late" if late else ""
        interval = f"95 %: from {result.lo:.4g}{unsure}"
        return f"at least {answer.rate:.4g} requests/s hold {slo} ({interval}); none failed{why}"
    return f"{answer.rate:.4g} requests/s hold {slo} (95 %: {result.lo:.4g} to {result.hi:.4g}{unsure})"


def said_of(judged: Judgement) -> str:
    """Return what a window says of its rate, and why where it says nothing."""
    if judged.says == "nothing":
        return f"says nothing: {WORDS[judged.why or 'too_few']}"
    return "fails, what is in flight grows without end" if judged.why == "backlog" else judged.says


def share_words(judged: Judgement) -> str:
    """Return the share of good requests with its interval."""
    if judged.share is None:
        return "no requests"
    bounds = f"95 %: {100 * judged.lo:.3g} to {100 * judged.hi:.3g} %"
    return f"{100 * judged.share:.3g} % of {judged.requests} good ({bounds})"


def first_error(requests: Requests) -> str:
    """Return what the first request that failed was told."""
    columns = requests.trace.read(["status", "http_status", "error"])
    row = next((row for row in columns.to_pylist() if row["status"] != "ok"), None)
    if row is None:
        return "nothing was sent"
    http = "" if row["http_status"] is None else f" (HTTP {row['http_status']})"
    return f"{row['status']}{http}: {' '.join(str(row['error'] or 'without a word').split())[:300]}"
