"""Goodput under a service level objective, and when a load test itself is not to be believed."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analysis.requests.columns import Requests, read_columns
from starwatt_errors import UsageError
from study.load.summary import generator_problems, summarise
from study.rate.slo import parse_slo
from tests.loadgen.test_process import generators
from tests.support.busy import PATIENCE_S
from tests.support.command import start, starwatt
from tests.support.server import Answer, Asked, TruthServer
from traces.schemas import REQUESTS

MS = 1_000_000


def table(*rows: dict[str, Any]) -> Requests:
    """A trace of completed measured requests, 10 ms apart, but for what ``rows`` say."""
    full = []
    for number, row in enumerate(rows):
        scheduled_ns = number * 10 * MS
        fields = {
            "request_id": number,
            "task_id": "t",
            "role": "measured",
            "status": "ok",
            "scheduled_ns": scheduled_ns,
            "sent_ns": scheduled_ns + row.get("lag_ms", 0) * MS,
            "first_token_ns": scheduled_ns + row.get("ttft_ms", 5) * MS,
            "end_ns": scheduled_ns + row.get("e2e_ms", 9) * MS,
            "output_tokens": row.get("tokens", 5),
            "chunk_ns": [],
            "finish_reason": "stop",
        }
        full.append(fields)
    return read_columns(pa.Table.from_pylist(full, schema=REQUESTS))


def test_an_objective_is_read_in_its_units() -> None:
    assert parse_slo("ttft=200ms,tpot=50ms") == {"ttft": 200.0, "tpot": 50.0}
    assert parse_slo(" e2e=2.5s ") == {"e2e": 2500.0}


@pytest.mark.parametrize(
    "text", ["", "ttft", "ttft=200", "ttft<200ms", "speed=1s", "ttft=1s,ttft=2s", "ttft=-1ms"]
)
def test_an_objective_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--slo .*(ttft=200ms,tpot=50ms|names ttft twice)"):
        parse_slo(text)


@pytest.mark.parametrize("text", ["ttft=0ms", "ttft=604801s", f"ttft={'9' * 400}s"])
def test_a_bound_that_no_latency_could_have_is_refused_before_analysis_meets_it(text: str) -> None:
    assert parse_slo("ttft=604800s") == {"ttft": 604_800_000.0}
    with pytest.raises(UsageError, match="ttft takes a time above 0, of 604800 s at most"):
        parse_slo(text)


def test_goodput_counts_completed_requests_that_keep_every_bound() -> None:
    requests = table(
        {"ttft_ms": 5, "e2e_ms": 9},
        {"ttft_ms": 20, "e2e_ms": 24},
        {"ttft_ms": 5, "e2e_ms": 105},
        {"tokens": 1},
    )
    seconds = summarise(requests)["duration_s"]
    assert "goodput" not in summarise(requests)
    for slo_ms, good in (
        ({"ttft": 10.0}, 3),
        ({"ttft": 10.0, "tpot": 2.0}, 2),
        ({"e2e": 1.0}, 0),
        ({"e2e": 1000.0}, 4),
    ):
        assert summarise(requests, slo_ms)["goodput"] == pytest.approx(good / seconds)


def test_goodput_is_missing_where_a_bound_cannot_be_judged() -> None:
    requests = table({"tokens": None})
    assert summarise(requests, {"tpot": 50.0})["goodput"] is None
    assert summarise(requests, {"ttft": 50.0})["goodput"] is not None
    assert summarise(table(), {"ttft": 50.0})["goodput"] is None


def test_a_generator_that_was_late_is_named_with_its_figure_and_its_bound() -> None:
    late = table(*({"lag_ms": 40, "ttft_ms": 45, "e2e_ms": 50} for _ in range(5)))
    [problem] = generator_problems(late, is_open=True)
    assert (problem["reason"], problem["value"], problem["hi"]) == (
        "generator_lagged",
        pytest.approx(40),
        15.0,
    )
    assert generator_problems(late, is_open=False) == []
    assert generator_problems(table({}, {}, {}), is_open=True) == []


def test_a_load_test_whose_generator_stood_still_is_exit_code_3_with_the_reason(tmp_path: Path) -> None:
    stood_still = threading.Event()

    def go_on(pid: int) -> None:
        os.kill(pid, signal.SIGCONT)
        stood_still.set()

    def behave(asked: Asked) -> Answer:
        if asked.number == 10:
            [generator] = generators()
            os.kill(generator.pid, signal.SIGSTOP)
            threading.Timer(0.5, go_on, args=(generator.pid,)).start()
        return Answer()

    with TruthServer(behave) as server:
        process = start(
            "load", "--base-url", server.url, "--model", "m", "--request-rate", 100, "--arrivals", "constant",
            "--num-prompts", 60, "--slo", "ttft=600s", "--out", tmp_path / "out", "--json",
        )  # fmt: skip
        printed, said = process.communicate(timeout=PATIENCE_S)
    assert stood_still.is_set()
    assert process.returncode == 3, said
    assert b"generator_lagged" in said
    summary = json.loads(printed)
    assert "generator_lagged" in {problem["reason"] for problem in summary["invalid"]}
    assert summary["slo_ms"] == {"ttft": 600_000.0}
    assert summary["metrics"]["goodput"] == pytest.approx(summary["metrics"]["request_rate"])
    assert summary["audit"]["connections_opened_late"] is not None


def test_a_closed_load_is_known_by_the_names_of_other_tools(tmp_path: Path) -> None:
    with TruthServer() as server:
        done = starwatt(
            "load", "--target", server.url, "--model", "m", "--max-concurrency", 2, "--max-requests", 6, "--workers", 2,
            "--client", "aiohttp", "--slo", "ttft=10s,tpot=1s", "--out", tmp_path / "out",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "goodput" in done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["load"] == {"name": None, "kind": "closed", "concurrency": 2}
    assert summary["metrics"]["completed_requests"] == 6
    assert summary["invalid"] == []
    assert summary["audit"]["connections_opened_late"] is None


def test_a_bound_without_its_unit_is_told_with_one() -> None:
    with pytest.raises(UsageError, match="which lacks its unit: ttft=200ms, or ttft=200s"):
        parse_slo("tpot=50ms,ttft=200")
