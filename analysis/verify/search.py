"""Judge the windows of a search anew, from their own requests: what ``cell.json`` says of its rate follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from analysis.requests.columns import read_columns
from analysis.validity.objective import judge
from analysis.verify.finding import Finding
from starwatt_errors import TraceError
from traces.cell import CellRecord, sha256_of
from traces.layout import CellKey
from traces.rate import RateFound, RateWindow
from traces.streams import read_trace

_CLOSE = 1e-9


def search_findings(key: CellKey, folder: Path, record: CellRecord) -> Iterator[Finding]:
    """Compare each window of a search with its requests, and the answer with the windows; nothing without a search."""
    rate = record.rate
    if rate is None:
        return
    differs = partial(Finding, "record_differs", str(key))
    for number, window in enumerate(rate.windows, 1):
        problem = _window_problem(folder, rate, window)
        if problem is not None:
            yield differs(f"window {number} of the search ({window.folder}): {problem}")
    held = {window.rate for window in rate.windows if window.says == "holds"}
    failed = {window.rate for window in rate.windows if window.says == "fails"}
    if rate.rate is not None and rate.rate not in held:
        yield differs(
            f"cell.json says that {rate.rate:g} requests/s hold, and no window of the search says so"
        )
    if rate.fails is not None and rate.fails not in failed:
        yield differs(
            f"cell.json says that {rate.fails:g} requests/s fail, and no window of the search says so"
        )


def _window_problem(folder: Path, rate: RateFound, window: RateWindow) -> str | None:
    """Return what is wrong with one window; None where it is as it was judged."""
    place = folder / window.folder
    try:
        if sha256_of(place / "requests.parquet") != window.sha256:
            return "its requests.parquet is not the file that was judged"
        requests = read_columns(read_trace(place, "requests"))
    except TraceError as error:
        return str(error)
    judgement = judge(
        requests, rate.slo_ms, rate.wanted_share, rate.max_in_flight, is_open=window.rate is not None
    )
    said = (window.says, window.why, window.requests)
    is_so = (judgement.says, judgement.why, judgement.requests)
    if said != is_so or abs((window.share or 0.0) - (judgement.share or 0.0)) > _CLOSE:
        return f"cell.json says {_words(window.says, window.why, window.share)}, its requests say " + _words(
            judgement.says, judgement.why, judgement.share
        )
    return None


def _words(says: str, why: str | None, share: float | None) -> str:
    of = "" if share is None else f" with {100 * share:.3g} % good"
    return f"{says}{f' ({why})' if why else ''}{of}"
