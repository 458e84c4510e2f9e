"""Locust itself, alone and as a master with two workers: the schedule and the trace of ``starwatt load``."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.driving import TASK_OF_PROMPT
from tests.support.server import Answer, Asked, Behaviour, TruthServer, completion_text
from traces.schemas import REQUESTS
from traces.streams import read_trace

LOCUSTFILE = Path(__file__).parents[2] / "loadgen" / "locustfile.py"
LIMIT_S = 60


def locust(*arguments: object) -> subprocess.Popen[str]:
    """Start Locust without its web page."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def alone(url: str, out: Path, *flags: object) -> tuple[int, str]:
    """One process that does everything: its exit code, and what it said."""
    process = locust("--headless", "--host", url, "--model", "m", "--out", out, *flags)
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, said


def distributed(
    url: str, out: Path, *flags: object, meanwhile: Callable[[subprocess.Popen[str]], None] | None = None
) -> tuple[int, str]:
    """A master and two workers, which are told nothing but where the master is; ``meanwhile`` gets one of them."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    master = locust(
        "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", 2, "--headless",
        "--host", url, "--model", "m", "--out", out, *flags,
    )  # fmt: skip
    where = ("--worker", "--master-host", "127.0.0.1", "--master-port", port)
    workers = [locust(*where), locust(*where)]
    try:
        if meanwhile is not None:
            meanwhile(workers[0])
        said, _ = master.communicate(timeout=LIMIT_S)
        for worker in workers:
            worker.communicate(timeout=LIMIT_S)
    finally:
        for process in (master, *workers):
            process.kill()
            process.communicate()
    return master.returncode, said


def rows_of(out: Path) -> list[dict[str, Any]]:
    """The trace, which must have the schema of every trace, in the order of its numbers."""
    table = read_trace(out, "requests")
    assert table.schema.equals(REQUESTS)
    assert {path.name for path in out.iterdir()} - {"clocks.json"} == {"requests.parquet", "schedule.parquet"}
    rows: list[dict[str, Any]] = table.sort_by("request_id").to_pylist()
    return rows


def check_whole(rows: list[dict[str, Any]]) -> None:
    """Good answers, read as they came."""
    for row in rows:
        assert (row["status"], row["http_status"], row["error"]) == ("ok", 200, None)
        assert row["completion"] == completion_text(3)
        assert (row["chunk_tokens"], row["output_tokens"], row["finish_reason"]) == ([1, 1, 1], 3, "stop")
        assert row["scheduled_ns"] <= row["sent_ns"] <= row["first_token_ns"] == row["chunk_ns"][0]
        assert row["chunk_ns"][-1] <= row["end_ns"]


@pytest.mark.parametrize("run", [alone, distributed])
def test_an_open_load_by_locust_is_the_schedule_that_was_worked_out(tmp_path: Path, run: Any) -> None:
    with TruthServer() as server:
        code, said = run(server.url, tmp_path / "out", "--qps", 40, "--requests", 30, "--warmup", 0.2)
    assert code == 0, said
    rows = rows_of(tmp_path / "out")
    check_whole(rows)
    planned = pq.read_table(tmp_path / "out" / "schedule.parquet").to_pylist()
    keys = ("task_id", "sample", "role")
    sent = [row for row in rows if row["role"] != "filler"]
    assert Counter(tuple(row[key] for key in keys) for row in sent) == Counter(
        tuple(row[key] for key in keys) for row in planned
    )
    assert {row["worker"] for row in rows} == ({0} if run is alone else {0, 1})
    asked = Counter(TASK_OF_PROMPT[request.body["prompt"]] for request in server.asked)
    assert asked == Counter(row["task_id"] for row in rows)
    for worker in {
        row["worker"] for row in rows
    }:  # each begins when it is told: gaps are those of the schedule
        due = {
            position: row["due_ns"]
            for position, row in enumerate(planned)
            if position % (1 + (run is distributed)) == worker
        }
        mine = sorted(row["scheduled_ns"] for row in sent if row["worker"] == worker)
        assert [t_ns - mine[0] for t_ns in mine] == [t_ns - min(due.values()) for t_ns in due.values()]


@pytest.mark.parametrize("run", [alone, distributed])
def test_a_closed_load_by_locust_keeps_its_concurrency_over_all_processes(tmp_path: Path, run: Any) -> None:
    # No measured request is answered unless three are in flight: less, and they would never end.
    with TruthServer(lambda asked: Answer(until_in_flight=3 if asked.number < 24 else 0)) as server:
        _, said = run(server.url, tmp_path / "out", "--concurrency", 3, "--requests", 24)
    rows = rows_of(tmp_path / "out")
    measured = [row for row in rows if row["role"] == "measured"]
    assert len(measured) == 24
    assert {(row["task_id"], row["sample"]) for row in measured} == {
        (row["task_id"], row["sample"])
        for row in pq.read_table(tmp_path / "out" / "schedule.parquet").to_pylist()
    }
    check_whole(measured)
    assert server.most_in_flight == 3
    assert "/v1/completions" in said


def test_a_single_stream_by_locust_never_has_two_in_flight(tmp_path: Path) -> None:
    with TruthServer() as server:
        code, said = distributed(server.url, tmp_path / "out", "--single-stream", "--requests", 6)
    assert code == 0, said
    assert len(rows_of(tmp_path / "out")) == 6
    assert server.most_in_flight == 1


def test_a_chat_is_asked_by_locust_too(tmp_path: Path) -> None:
    said = {"choices": [{"index": 0, "delta": {"content": "x = 1"}, "finish_reason": "stop"}]}
    events = (b"data: " + json.dumps(said).encode() + b"\n\n", b"data: [DONE]\n\n")
    with TruthServer(lambda _: Answer(events=events)) as server:
        flags = ("--single-stream", "--requests", 1, "--endpoint", "chat")
        code, said_by_locust = alone(server.url, tmp_path / "out", *flags)
    assert code == 0, said_by_locust
    [row] = rows_of(tmp_path / "out")
    assert (row["status"], row["completion"]) == ("ok", "x = 1")
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].body["messages"][0]["role"] == "user"


def behave_badly(asked: Asked) -> Answer:
    """Three kinds of failure."""
    answers = {
        1: Answer(status=429, content=b"slow down"),
        2: Answer(ending="closed"),
        3: Answer(raw=b"SSH-2\r\n\r\n"),
    }
    return answers.get(asked.number, Answer())


def test_what_goes_wrong_is_a_row_and_a_failure_on_locusts_page(tmp_path: Path) -> None:
    behave: Behaviour = behave_badly
    with TruthServer(behave) as server:
        code, said = alone(server.url, tmp_path / "out", "--single-stream", "--requests", 6)
    assert code == 1
    rows = rows_of(tmp_path / "out")
    assert [row["status"] for row in rows] == [
        "ok",
        "http_error",
        "connection_error",
        "malformed",
        "ok",
        "ok",
    ]
    assert (rows[1]["http_status"], rows[1]["error"]) == (429, "slow down")
    assert rows[2]["completion"] == completion_text(1)
    assert "http_error: slow down" in said


def test_options_that_are_wrong_are_exit_code_2_and_nothing_is_asked(tmp_path: Path) -> None:
    with TruthServer() as server:
        code, said = alone(server.url, tmp_path / "out", "--qps", -3, "--requests", 1)
    assert code == 2, said
    assert "qps: takes a number from 0.001 on (given: -3.0)" in said
    assert not server.asked


def test_nothing_but_the_locustfile_brings_gevent_along() -> None:
    modules = (
        "study.cli.app, study.cli.load, study.cli.run, loadgen.__main__, loadgen.process, "
        "loadgen.clients.aiohttp_client, loadgen.merge"
    )
    code = f"import sys, {modules}; print([name for name in ('gevent', 'locust') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_worker_that_says_nothing_for_some_seconds_is_not_gone(tmp_path: Path) -> None:
    reached = threading.Event()

    def behave(asked: Asked) -> Answer:
        if asked.number == 8:
            reached.set()
        return Answer()

    def stop_for_a_while(worker: subprocess.Popen[str]) -> None:
        assert reached.wait(LIMIT_S)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(6)  # twice what Locust itself waits
        worker.send_signal(signal.SIGCONT)

    with TruthServer(behave) as server:
        load = ("--qps", 10, "--requests", 60)
        code, said = distributed(server.url, tmp_path / "out", *load, meanwhile=stop_for_a_while)
    assert code == 0, said
    measured = [row for row in rows_of(tmp_path / "out") if row["role"] == "measured"]
    assert len(measured) == 60
    assert {row["status"] for row in measured} == {"ok"}


def test_ctrl_c_keeps_every_row(tmp_path: Path) -> None:
    reached = threading.Event()

    def behave(asked: Asked) -> Answer:
        if asked.number == 30:
            reached.set()
        return Answer()

    with TruthServer(behave) as server:
        process = locust(
            "--headless", "--host", server.url, "--model", "m", "--out", tmp_path / "out", "--qps", 40,
            "--requests", 100_000,
        )  # fmt: skip
        try:
            assert reached.wait(LIMIT_S)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
            process.communicate()
        asked = len(server.asked)
    rows = rows_of(tmp_path / "out")
    statuses = Counter(row["status"] for row in rows)  # cut off may also be what did not reach the server yet
    assert set(statuses) <= {"ok", "aborted"}
    assert 30 <= statuses["ok"] <= asked <= len(rows) + 1


def test_a_load_begun_from_the_web_page_takes_what_its_form_says(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    page = f"http://127.0.0.1:{port}"
    with TruthServer() as server:
        process = locust(
            "--web-host", "127.0.0.1", "--web-port", port, "--host", server.url, "--model", "m",
            "--out", tmp_path / "out", "--concurrency", 1, "--requests", 1,
        )  # fmt: skip
        try:
            asked = {"user_count": 1, "spawn_rate": 1, "host": server.url, "requests": 7}
            answer = json.loads(when_up(f"{page}/swarm", urllib.parse.urlencode(asked).encode()))
            assert answer["success"], answer
            trace, worker = tmp_path / "out" / "requests.parquet", tmp_path / "out" / "worker-0"
            deadline = time.monotonic() + LIMIT_S
            while (worker.exists() or not trace.is_file()) and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=LIMIT_S)
    assert trace.is_file(), said
    measured = [row for row in rows_of(tmp_path / "out") if row["role"] == "measured"]
    assert len(measured) == 7
    check_whole(measured)


def when_up(url: str, form: bytes | None) -> bytes:
    """What a page answers, once it is there."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            with urllib.request.urlopen(url, data=form, timeout=LIMIT_S) as response:
                body: bytes = response.read()
                return body
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
