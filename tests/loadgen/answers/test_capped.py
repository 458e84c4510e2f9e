"""An open load that is asked to keep no more than so many in flight: the others wait, and their wait is latency."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.driving import closed, constant, drive, make_spec, requests
from tests.support.server import Answer, Asked, TruthServer

CAP = 2


def behave(asked: Asked) -> Answer:
    """The first eight are answered two and two: with less in flight they would never end."""
    return Answer(until_in_flight=CAP if asked.number < 8 else 0)


@pytest.mark.parametrize("client", ["auto", "httptools", "aiohttp"])
def test_no_more_are_in_flight_and_all_are_sent_in_the_order_of_the_schedule(
    tmp_path: Path, client: str
) -> None:
    load = {**constant(1000), "max_in_flight": CAP}
    with TruthServer(behave) as server:
        driven = drive(make_spec(server.url, load, amount=requests(20), client=client), tmp_path)
    rows = driven.of("measured")
    assert [row["status"] for row in rows] == ["ok"] * 20
    assert server.most_in_flight == CAP
    due = [row["scheduled_ns"] for row in rows]
    assert [after - before for before, after in itertools.pairwise(due)] == [1_000_000] * 19
    assert [row["sent_ns"] for row in rows] == sorted(row["sent_ns"] for row in rows)
    audit = driven.result.audit
    longest_wait_ms = max(row["sent_ns"] - row["scheduled_ns"] for row in rows) * 1e-6
    assert audit.lag_max_ms is not None
    assert audit.lag_max_ms <= longest_wait_ms


def test_what_waits_for_a_place_when_the_load_is_ended_is_a_row(tmp_path: Path) -> None:
    load = {**constant(1000), "max_in_flight": 1}
    with TruthServer(lambda _: Answer(until_seen=1000)) as server:
        spec = make_spec(server.url, load, amount=requests(3), request_timeout_s=60)
        driven = drive(spec, tmp_path, stop_when=lambda step: step.in_flight >= 3)
    assert len(server.asked) == 1
    waited = [row for row in driven.rows if row["error"] and "waited for a place" in row["error"]]
    assert len(waited) >= 2
    assert {row["status"] for row in driven.rows} == {"aborted"}


def test_a_cap_is_part_of_the_loads_name_and_takes_one_worker() -> None:
    capped = make_spec("http://127.0.0.1:1", {**constant(8), "max_in_flight": 4})
    assert capped.load.slug == "open-8-constant-most-4"
    assert make_spec("http://127.0.0.1:1", constant(8)).load.slug == "open-8-constant"
    with pytest.raises(ValidationError, match="takes one worker"):
        make_spec("http://127.0.0.1:1", {**constant(8), "max_in_flight": 4}, workers=2)
    assert make_spec("http://127.0.0.1:1", closed(4), workers=2).workers == 2
