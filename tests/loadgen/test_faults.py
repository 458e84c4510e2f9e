"""Whatever a server does, and whatever runs out: a load ends by itself, with one row a planned request."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.datasets import load_dataset
from configs.prompt_format import render_prompt
from loadgen.planning import failures
from loadgen.replay import Replay
from loadgen.spec import LoadSpec
from tests.loadgen.faulty_server import Fault, FaultyServer, echo_of
from tests.support.driving import SINGLE, closed, constant, make_spec, requests
from traces.schemas import STATUSES
from traces.streams import read_trace

CLIENTS = ("wire", "httptools", "aiohttp")
PLANNED = 16
HANGS_S = 120
ECHO_OF_TASK = {
    task.task_id: echo_of(render_prompt(task.prompt)) for task in load_dataset("starwatt-24").tasks
}
LOADS = (SINGLE, closed(3), constant(300), {**constant(300), "max_in_flight": 2})
KINDS = ("good", "refuse", "reset", "close", "silent_close", "interim", "delay", "restart", "deaf")
faults = st.lists(
    st.builds(Fault, st.sampled_from(KINDS), st.floats(0, 1, width=16)), min_size=4, max_size=PLANNED + 8
)
anything = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many failures, in less time."""
    monkeypatch.setattr(failures, "_FIRST_S", 0.002)
    monkeypatch.setattr(failures, "_LONGEST_S", 0.02)


def driven(spec: LoadSpec, out: Path) -> list[dict[str, Any]]:
    """The rows of a load that must end by itself."""
    shutil.rmtree(out, ignore_errors=True)

    async def run() -> None:
        async with asyncio.timeout(HANGS_S):
            await Replay(spec, out, None).run(lambda _: None, asyncio.Event())

    uvloop.run(run())
    rows: list[dict[str, Any]] = read_trace(out, "requests").to_pylist()
    return rows


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Each planned request once, in order of its times, and what it was answered was for its own prompt."""
    measured = [row for row in rows if row["role"] == "measured"]
    assert len(measured) == PLANNED
    assert set(Counter((row["task_id"], row["sample"]) for row in measured).values()) == {1}
    assert sorted(row["request_id"] for row in rows) == list(range(len(rows)))
    for row in rows:
        assert row["status"] in STATUSES
        assert row["scheduled_ns"] <= row["sent_ns"] <= row["end_ns"]
        assert row["sent_ns"] <= (row["first_token_ns"] or row["end_ns"]) <= row["end_ns"]
        assert row["completion"] in ("", ECHO_OF_TASK[row["task_id"]])
        assert (row["status"] == "ok") == (row["error"] is None)
        if row["status"] == "ok":
            assert row["completion"] == ECHO_OF_TASK[row["task_id"]]


def hold_to_it(out: Path, client: str, load: dict[str, Any], wrong: list[Fault]) -> None:
    """Drive one load over these faults."""
    with FaultyServer(wrong) as server:
        spec = make_spec(
            server.url, load, amount=requests(PLANNED), client=client, drain_s=2, request_timeout_s=5
        )
        check_rows(driven(spec, out))


@pytest.mark.parametrize("client", CLIENTS)
@given(load=st.sampled_from(LOADS), wrong=faults)
@settings(anything, max_examples=15)
def test_a_load_over_a_server_that_does_anything_ends_with_one_row_a_planned_request(
    tmp_path: Path, client: str, load: dict[str, Any], wrong: list[Fault]
) -> None:
    hold_to_it(tmp_path / "out", client, load, wrong)


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
@given(load=st.sampled_from(LOADS), wrong=faults)
@settings(anything, max_examples=500)
def test_that_holds_five_hundred_times(
    tmp_path: Path, client: str, load: dict[str, Any], wrong: list[Fault]
) -> None:
    hold_to_it(tmp_path / "out", client, load, wrong)
