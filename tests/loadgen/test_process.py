"""The load generator as the process that it is: its result, its end by a signal, and what it leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from loadgen.process import run_load
from starwatt_errors import LoadError
from tests.support.busy import PATIENCE_S
from tests.support.driving import SINGLE, TASKS, closed, constant, make_spec, requests
from tests.support.server import Answer, Asked, TruthServer
from traces.streams import read_trace

KEY = "sk-quite-secret-21"
ENDLESS = requests(1_000_000)


def generators(of: int | None = None) -> list[psutil.Process]:
    """The load generators that this process, or another, has started."""
    return [
        child
        for child in psutil.Process(of).children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "loadgen" in child.cmdline()
    ]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Any]:
    """Starts a process that calls ``run_load``; none is left behind."""
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str) -> subprocess.Popen[bytes]:
        (tmp_path / "spec.json").write_text(make_spec(url, SINGLE, amount=ENDLESS).model_dump_json())
        code = (
            "import sys; from pathlib import Path; from loadgen.process import run_load;"
            "from loadgen.spec import LoadSpec;"
            "run_load(LoadSpec.model_validate_json(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "spec.json"), str(tmp_path / "out")]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


class Reached(threading.Event):
    """Set by a server when it has been asked so often."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def behave(self, asked: Asked) -> Answer:
        """Answer well, and count."""
        if asked.number == self._count:
            self.set()
        return Answer()


def test_a_load_in_its_own_process_leaves_its_rows_phases_and_audit(tmp_path: Path) -> None:
    seen: list[Mapping[str, Any]] = []
    with TruthServer() as server:
        spec = make_spec(server.url, closed(2))
        outcome = run_load(spec, tmp_path, api_key=KEY, on_progress=seen.append)
    rows = read_trace(tmp_path, "requests").to_pylist()
    assert {path.name for path in tmp_path.iterdir()} == {"requests.parquet", "schedule.parquet"}
    assert sum(row["role"] == "measured" for row in rows) == TASKS
    assert {row["status"] for row in rows} == {"ok"}
    assert (outcome.interrupted, outcome.errors) == (False, {})
    assert outcome.phases.window is not None
    assert outcome.audit.cpu_share is not None
    assert outcome.audit.lag_max_ms is not None
    assert seen[-1] == {"phase": "ended", "in_flight": 0, "ended": TASKS, "planned": TASKS}
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    assert KEY.encode() not in (tmp_path / "requests.parquet").read_bytes()


def test_without_a_key_none_is_sent_even_if_one_lies_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARWATT_API_KEY", KEY)
    with TruthServer() as server:
        run_load(make_spec(server.url, SINGLE), tmp_path)
    assert all("authorization" not in asked.headers for asked in server.asked)


def test_a_refused_connection_is_a_load_error_with_the_address(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(LoadError, match=f"^{url} cannot be reached"):
            run_load(make_spec(url, SINGLE), tmp_path)


def test_cpus_that_are_not_there_are_a_load_error_and_no_process_stays(tmp_path: Path) -> None:
    with TruthServer() as server, pytest.raises(LoadError, match=r"cpus\.load: \[4095\]"):
        run_load(make_spec(server.url, SINGLE), tmp_path, cpus=(4095,))
    assert not generators()


def test_a_load_is_pinned_to_the_cpus_it_was_given(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    affinities: list[set[int]] = []
    with TruthServer() as server:
        run_load(
            make_spec(server.url, SINGLE),
            tmp_path,
            cpus=(cpu,),
            on_progress=lambda _: affinities.extend(
                os.sched_getaffinity(generator.pid) for generator in generators()
            ),
        )
    assert {cpu} in affinities
    assert all(affinity == {cpu} for affinity in affinities)


def test_a_load_generator_does_without_pandas(tmp_path: Path) -> None:
    mapped: list[str] = []
    with TruthServer() as server:
        run_load(
            make_spec(server.url, SINGLE),
            tmp_path,
            on_progress=lambda _: mapped.extend(
                Path(f"/proc/{generator.pid}/maps").read_text() for generator in generators()
            ),
        )
    assert any("/pyarrow/" in libraries for libraries in mapped)
    assert not any("/pandas/" in libraries for libraries in mapped)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("load", [closed(2), constant(100)], ids=["closed", "open"])
def test_a_signal_ends_the_load_and_keeps_what_was_received(
    tmp_path: Path, number: signal.Signals, load: dict[str, Any]
) -> None:
    reached = Reached(20)
    with TruthServer(reached.behave) as server:
        spec = make_spec(server.url, load, amount=ENDLESS)

        def send_it(_: Mapping[str, Any]) -> None:
            if reached.is_set():
                reached.clear()
                [generator] = generators()
                generator.send_signal(number)

        outcome = run_load(spec, tmp_path, on_progress=send_it)
        asked = len(server.asked)
    rows = read_trace(tmp_path, "requests").to_pylist()
    assert outcome.interrupted
    assert asked - 1 <= len(rows) <= asked + 1  # one may have been on its way
    assert sum(row["status"] == "ok" for row in rows) >= 20
    assert {row["status"] for row in rows} <= {"ok", "aborted"}
    assert (tmp_path / "requests.parquet").is_file()


def test_a_runner_that_is_interrupted_ends_its_load_first_and_the_rows_are_kept(
    tmp_path: Path, runner: Any
) -> None:
    reached = Reached(20)
    with TruthServer(reached.behave) as server:
        process = runner(server.url)
        assert reached.wait(PATIENCE_S)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert b"KeyboardInterrupt" in said
    assert read_trace(tmp_path / "out", "requests").num_rows >= 20
    assert (tmp_path / "out" / "requests.parquet").is_file()


def test_a_load_whose_runner_is_killed_ends_and_keeps_its_rows(tmp_path: Path, runner: Any) -> None:
    reached = Reached(20)
    with TruthServer(reached.behave) as server:
        process = runner(server.url)
        assert reached.wait(PATIENCE_S)
        left = generators(process.pid)
        assert len(left) == 1
        process.kill()
        gone, alive = psutil.wait_procs(left, timeout=PATIENCE_S)
    assert (len(gone), alive) == (1, [])
    assert read_trace(tmp_path / "out", "requests").num_rows >= 20
    assert (tmp_path / "out" / "requests.parquet").is_file()
