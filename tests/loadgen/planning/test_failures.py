"""What a closed load does about failures, and what an engine that hangs looks like from here."""

from __future__ import annotations

import email.utils
import time
from pathlib import Path
from typing import Any

import pytest

from loadgen.planning import failures
from loadgen.planning.failures import NOT_SENT, Failures
from loadgen.process import run_load
from starwatt_errors import LoadError
from tests.support.driving import SINGLE, closed, constant, drive, make_spec, requests
from tests.support.server import Answer, Asked, TruthServer

CLIENTS = ("wire", "httptools", "aiohttp")


def test_a_place_waits_twice_as_long_after_each_failure_and_not_at_all_after_a_good_answer() -> None:
    kept = Failures(2)
    assert [kept.after(0, "http_error", None, None) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert kept.after(1, "timeout", None, None) == 0.1
    assert kept.after(0, "ok", None, None) == 0.0
    assert kept.after(0, "malformed", None, None) == 0.1
    assert kept.gave_up is None


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("2", 2), (" 7.5", 7.5), ("3600", 60), ("-1", 0.1), ("nan", 0.1), ("soon", 0.1), ("", 0.1),
        ("Thu, 01 Jan 2026 00:00:00 +9999999999999", 0.1),
    ],
)  # fmt: skip
def test_the_servers_wish_is_heeded_where_it_is_one(said: str, wait_s: float) -> None:
    assert Failures(1).after(0, "http_error", None, said) == wait_s


def test_the_servers_wish_may_be_a_date() -> None:
    later, past = (email.utils.formatdate(time.time() + s, usegmt=True) for s in (3000, -3000))
    assert Failures(1).after(0, "http_error", None, later) == 60
    assert Failures(1).after(0, "http_error", None, past) == 0.1


def test_many_failures_in_a_row_over_all_places_end_the_load_and_one_good_answer_begins_the_count_anew() -> (
    None
):
    kept = Failures(3)
    for number in range(59):
        kept.after(number % 3, "connection_error", "refused", None)
    assert kept.gave_up is None
    kept.after(0, "ok", None, None)
    for number in range(60):
        assert kept.gave_up is None
        kept.after(number % 3, "connection_error", "refused", None)
    assert kept.gave_up == "60 requests in a row failed; the last was connection_error: refused"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("load", [SINGLE, closed(2)], ids=["single", "closed"])
def test_a_load_that_gives_up_has_a_row_for_each_request_that_it_did_not_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, load: dict[str, Any]
) -> None:
    monkeypatch.setattr(failures, "_LONGEST_S", 0.001)

    def behave(asked: Asked) -> Answer:
        return Answer() if asked.number < 3 else Answer(status=503, content=b"loading")

    with TruthServer(behave) as server:
        driven = drive(make_spec(server.url, load, amount=requests(200), client=client), tmp_path)
    places = load.get("concurrency", 1)
    rows = driven.of("measured")
    assert len(rows) == 200
    assert len({(row["task_id"], row["sample"]) for row in rows}) == 200
    assert driven.result.gave_up is not None
    assert driven.result.gave_up.endswith("loading")
    unsent = [row for row in rows if (row["error"] or "").startswith(NOT_SENT)]
    assert {row["status"] for row in unsent} == {"aborted"}
    assert len(server.asked) == len(rows) - len(unsent)
    assert 20 * places <= len(server.asked) - 3 < 20 * places + places


def test_a_wish_to_wait_longer_than_the_load_lasts_does_not_prolong_it(tmp_path: Path) -> None:
    slow = Answer(raw=b"HTTP/1.1 429 No\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")
    with TruthServer(lambda _: slow) as server:
        amount = {"kind": "duration", "seconds": 0.5}
        driven = drive(make_spec(server.url, closed(2), amount=amount, warmup_s=0.2), tmp_path)
    assert len(server.asked) == 4  # in the warm-up, and in the window
    assert len(driven.of("measured")) == 2
    assert driven.result.phases.window is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_measured_requests_that_get_nothing_are_noticed_whatever_filler_gets(
    tmp_path: Path, workers: int
) -> None:
    never = Answer(until_seen=1_000_000)
    with TruthServer(lambda asked: never if asked.number in (3, 4) else Answer()) as server:
        spec = make_spec(server.url, constant(50), workers=workers, request_timeout_s=100)
        with pytest.raises(LoadError, match=r"got anything or ended for 1 s .*engine\.hang_timeout_s"):
            run_load(spec, tmp_path, hang_s=1.0)
        assert len(server.asked) > 20, "filler went on"


def test_an_answer_that_comes_slowly_is_no_hang(tmp_path: Path) -> None:
    with TruthServer(lambda _: Answer(tokens=30, gap_s=0.1)) as server:
        result = run_load(make_spec(server.url, SINGLE, amount=requests(1)), tmp_path, hang_s=2.0)
    assert not result.errors
