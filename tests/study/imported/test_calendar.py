"""Requests on the calendar: by their tool, by what is stated, or not at all."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from starwatt_errors import UsageError
from study.imported.calendar import WRITTEN_WITHIN_S, Stated, place
from study.imported.files import read_loads
from study.imported.requests import ImportedLoad, Request
from tests.study.imported.captured_files import GUIDELLM, VLLM
from traces.clock import now_ns

DATE = "20261126-093000"
WRITTEN_S = datetime(2026, 11, 26, 9, 30, tzinfo=UTC).timestamp()


def monotonic(first_ns: int, last_ns: int, date: str | None = DATE) -> ImportedLoad:
    """A load whose clock began anywhere."""
    request = Request("ok", sent_ns=first_ns, first_token_ns=last_ns, end_ns=last_ns)
    return ImportedLoad("vllm bench serve", None, (request,), clock="monotonic", written_at=date)


def test_a_date_places_the_last_answer_within_a_second() -> None:
    placed = place(monotonic(5_000_000_000, 9_000_000_000), Stated(zone="UTC"), "f")
    assert (9_000_000_000 + placed.shift_ns) * 1e-9 == pytest.approx(WRITTEN_S)
    assert placed.uncertainty_s == WRITTEN_WITHIN_S


def test_the_date_of_a_real_file_is_within_its_uncertainty_of_what_we_noted() -> None:
    [load] = read_loads(VLLM.requests, None)
    placed = place(load, Stated(zone="UTC"), "f")
    first_ns = min(request.sent_ns for request in load.requests if request.sent_ns is not None)
    assert abs((first_ns + placed.shift_ns) * 1e-9 - VLLM.truth["start_s"]) <= placed.uncertainty_s


def test_an_instant_that_is_stated_places_the_first_request() -> None:
    placed = place(monotonic(5_000_000_000, 9_000_000_000), Stated(at_s=1000.0), "f")
    assert (5_000_000_000 + placed.shift_ns, placed.uncertainty_s) == (1_000_000_000_000, 0.0)


def test_this_boots_clock_places_what_ran_here() -> None:
    ended_ns = now_ns()
    date = datetime.now().strftime("%Y%m%d-%H%M%S")  # as vllm bench serve writes it
    placed = place(monotonic(ended_ns - 10**9, ended_ns, date), Stated(same_boot=True), "f")
    assert (ended_ns + placed.shift_ns) * 1e-9 == pytest.approx(time.time(), abs=60)
    assert placed.uncertainty_s == 0


@pytest.mark.parametrize("last_ns", [10**18, 10**9], ids=["later than now", "long before its date"])
def test_this_boots_clock_is_refused_where_it_contradicts_the_file(last_ns: int) -> None:
    date = datetime.now().strftime("%Y%m%d-%H%M%S")  # as vllm bench serve writes it
    if last_ns == 10**9 and now_ns() < 1200 * 10**9:
        pytest.skip("this machine was started a moment ago")
    with pytest.raises(UsageError, match="--same-boot"):
        place(monotonic(last_ns - 10**8, last_ns, date), Stated(same_boot=True), "f")


def test_a_clock_that_nothing_places_says_what_to_give() -> None:
    with pytest.raises(UsageError, match=r"--at 2026-11-26T09:30:00\.25"):
        place(monotonic(1, 2, None), Stated(), "f")
    with pytest.raises(UsageError, match="date 'soon' is not understood"):
        place(monotonic(1, 2, "soon"), Stated(), "f")


def test_an_instant_in_milliseconds_is_refused() -> None:
    with pytest.raises(UsageError, match="not milliseconds"):
        place(monotonic(1, 2), Stated(at_s=1_795_685_400_250.0), "f")


@pytest.mark.parametrize("stated", [Stated(at_s=1.0), Stated(same_boot=True)], ids=["--at", "--same-boot"])
def test_times_of_the_calendar_take_no_second_one(stated: Stated) -> None:
    [load] = read_loads(Path(GUIDELLM.requests), None)
    with pytest.raises(UsageError, match="of the calendar"):
        place(load, stated, "f")
