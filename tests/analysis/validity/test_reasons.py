"""Reason codes from raw requests and engine scrapes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analysis.requests.columns import Requests
from analysis.requests.latency import latencies
from analysis.requests.window import Window
from analysis.validity.reasons import (
    EXPLANATIONS,
    Check,
    engine_check,
    reasons_for,
    request_checks,
    scope_of,
    window_check,
)
from tests.support.builders import MS, SECOND, columns, request
from traces.schemas import ENGINE


def failed(requests: Requests, *, is_open: bool = True) -> dict[str, Check]:
    """The checks that fail."""
    checks = request_checks(requests, latencies(requests), is_open=is_open)
    return {check.code: check for check in checks if check.failed}


def at_rate(lag_ms: list[int]) -> Requests:
    """Requests scheduled every 100 ms and sent this late."""
    rows = [
        request(n, 100 * n + lag, 100 * n + lag + 200, scheduled_ns=100 * n * MS)
        for n, lag in enumerate(lag_ms)
    ]
    return columns(*rows)


def test_a_punctual_generator_passes() -> None:
    assert failed(at_rate([1] * 50)) == {}


def test_late_dispatch_is_found_with_its_figure_for_open_loads_only() -> None:
    requests = at_rate([1] * 45 + [40] * 5)
    check = failed(requests)["generator_lagged"]
    assert check.value == pytest.approx(40)
    assert check.hi == 15.0
    assert failed(requests, is_open=False) == {}


def test_a_generator_that_falls_behind_does_not_reach_its_rate() -> None:
    check = failed(at_rate([3 * n for n in range(50)]))
    assert check["rate_not_reached"].value == pytest.approx(100 / 103)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "timeout"}, "errors"),
        ({"cached_tokens": 16}, "prefix_cache_hit"),
        ({"end_ns": 1}, "bad_times"),
        ({"first_token_ns": 1}, "bad_times"),
    ],
)
def test_one_bad_request_is_found(change: dict[str, Any], code: str) -> None:
    good = request(1, 100, 200, cached_tokens=0)
    assert failed(columns(good)) == {}
    assert set(failed(columns(good, request(2, 100, 200, **change)))) == {code}


def test_filler_that_was_cut_off_is_no_error() -> None:
    requests = columns(request(1, 0, 200), request(2, 0, 200, role="filler", status="aborted"))
    assert failed(requests) == {}


def scrapes(totals: list[float | None]) -> pa.Table:
    """One a second."""
    rows = [{"t_ns": n * SECOND, "preemptions_total": total} for n, total in enumerate(totals)]
    return pa.Table.from_pylist(rows, schema=ENGINE)


def test_preemption_counts_in_the_window_alone() -> None:
    window = Window(int(2.5 * SECOND), int(4.5 * SECOND))
    assert engine_check(scrapes([0, 5, 5, 5, 6, 6, 9]), window).value == 1
    assert not engine_check(scrapes([0, 5, 5, 5, 5, 5, 9]), window).failed
    assert engine_check(scrapes([None] * 7), window).value is None


def test_a_window_below_the_studys_minimum_is_too_short() -> None:
    window = Window(0, 9 * SECOND)
    assert window_check(window, 10.0).failed
    assert not window_check(window, 9.0).failed
    assert not window_check(window, None).failed


def test_reasons_spoil_what_they_are_about() -> None:
    codes = ["no_power", "errors", "sandbox_missing", "not_cooled"]
    assert reasons_for("cell", codes) == ["errors"]
    assert reasons_for("energy", codes) == ["errors", "no_power", "not_cooled"]
    assert reasons_for("accuracy", codes) == ["errors", "sandbox_missing"]
    assert scope_of("something_newer") == "cell"


def test_every_reason_code_that_analysis_writes_is_explained() -> None:
    sources = Path(__file__).resolve().parents[3] / "analysis"
    text = "".join(path.read_text(encoding="utf-8") for path in sources.rglob("*.py"))
    written = set(re.findall(r'Check\("(\w+)"', text)) | set(re.findall(r'reasons\.append\("(\w+)"\)', text))
    assert {"generator_lagged", "power_gap", "counter_disagrees"} <= written
    assert written <= set(EXPLANATIONS)
