"""A study whose load comes from two Locust workers, one of them on a machine that booted an hour earlier."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from loadgen.spec import LoadSpec
from loadgen.swarm.distributed import shared_by
from tests.golden.elsewhere import EngineElsewhere
from tests.golden.nvml.world import BoardModel, GoldenBoards
from tests.support.command import starwatt
from traces.cell import read_cell
from traces.clock import boot_id, now_ns
from traces.layout import RunDir
from traces.streams import read_trace

KEY = "a-key-of-the-workers"
HOUR_NS = 3600 * 1_000_000_000
SHIFTED = str(Path(__file__).parents[1] / "support" / "shifted_clock")
LOCUSTFILE = Path(__file__).parents[2] / "loadgen" / "locustfile.py"


@contextmanager
def worker(port: int, scratch: Path, **more: str) -> Iterator[None]:
    """A worker that is started again whenever a cell's master has sent it home, as docs/cluster.md says."""
    scratch.mkdir()
    command = [
        sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--worker", "--master-host", "127.0.0.1",
        "--master-port", str(port),
    ]  # fmt: skip
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'while true; do "$@"; done', "sh", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "STARWATT_API_KEY": KEY, "TMPDIR": str(scratch), **more},
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_cells_are_driven_by_all_workers_and_are_on_one_clock(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    boards = GoldenBoards(tmp_path / "world", [BoardModel("GPU-none")], idle_w=50.0)
    path = os.pathsep.join(filter(None, (SHIFTED, os.environ.get("PYTHONPATH"), str(Path.cwd()))))
    (tmp_path / "key").write_text(KEY)
    with (
        EngineElsewhere(boards, key=KEY) as engine,
        worker(port, tmp_path / "one"),
        worker(port, tmp_path / "two", PYTHONPATH=path, TEST_CLOCK_SHIFT_NS=str(HOUR_NS)),
    ):
        study = {
            "name": "many", "models": ["golden"], "baseline": "a", "variants": ["a"],
            "remote": {"a": {"url": engine.url, "key": {"file": str(tmp_path / "key")}}},
            "loads": [{"kind": "open", "qps": 20}, {"kind": "closed", "concurrency": 4}],
            "prompts": {"dataset": "starwatt-24", "tasks": 8, "max_tokens": 8, "output": {"fixed": 8}},
            "measure": {"passes": 3, "min_s": 0}, "phases": {"idle_s": 0.5, "warmup_s": 0.3}, "blocks": 1,
            "generator": {"kind": "locust", "workers": 2, "port": port, "wait_s": 60},
        }  # fmt: skip
        (tmp_path / "study.yaml").write_text(json.dumps(study))
        began_ns = now_ns()
        done = starwatt("run", tmp_path / "study.yaml", "--out", tmp_path / "run", "--json")
        ended_ns = now_ns()
    assert done.returncode == 3, done.stderr  # there is no power
    run = RunDir(tmp_path / "run")
    keys = list(run.finished_cells())
    assert len(keys) == 2
    for key in keys:
        _is_one_trace(run.cell(key), began_ns, ended_ns)
    assert list((tmp_path / "one").glob("starwatt-load-*")) == [], (
        "what a worker recorded was sent, and removed"
    )
    findings = json.loads(starwatt("verify", run.root, "--json").stdout)["findings"]
    assert {finding["kind"] for finding in findings} <= {"invalid_cell"}


def _is_one_trace(folder: Path, began_ns: int, ended_ns: int) -> None:
    record = read_cell(folder)
    assert record.audit.client == "locust"
    shifts = sorted(clock.shift_ns for clock in record.worker_clocks)
    assert shifts[0] == 0
    assert abs(shifts[1] - HOUR_NS) < 50_000_000
    for clock in record.worker_clocks:
        assert clock.end is not None
        true_ns = 0 if clock.shift_ns == 0 else HOUR_NS
        assert clock.start.lowest_ns <= true_ns <= clock.start.highest_ns
    requests = read_trace(folder, "requests")
    assert requests.schema.metadata[b"boot_id"].decode() == boot_id()
    assert set(requests["worker"].to_pylist()) == {0, 1}
    assert set(requests["status"].to_pylist()) <= {"ok", "aborted"}
    assert began_ns < pc.min(requests["scheduled_ns"]).as_py()
    assert pc.max(requests["end_ns"]).as_py() < ended_ns
    measured = requests.filter(pc.equal(requests["role"], "measured"))
    assert measured.num_rows == 24
    schedule = pq.read_table(folder / "schedule.parquet")
    planned = schedule.filter(pc.equal(schedule["role"], "measured"))
    names = ("task_id", "sample")
    assert sorted(zip(*(measured[name].to_pylist() for name in names), strict=True)) == sorted(
        zip(*(planned[name].to_pylist() for name in names), strict=True)
    )


def test_workers_that_do_not_come_are_a_failed_cell_with_the_reason(tmp_path: Path) -> None:
    boards = GoldenBoards(tmp_path / "world", [BoardModel("GPU-none")], idle_w=50.0)
    with EngineElsewhere(boards) as engine, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        study = {
            "name": "none", "models": ["golden"], "baseline": "a", "variants": ["a"],
            "remote": {"a": {"url": engine.url}}, "loads": [{"kind": "closed", "concurrency": 4}],
            "prompts": {"dataset": "starwatt-24", "tasks": 4, "max_tokens": 8, "output": {"fixed": 8}},
            "measure": {"min_s": 0}, "phases": {"idle_s": 0.5, "warmup_s": 0}, "blocks": 1, "attempts": 1,
            "generator": {"kind": "locust", "workers": 2, "port": unused.getsockname()[1], "wait_s": 1},
        }  # fmt: skip
        (tmp_path / "study.yaml").write_text(json.dumps(study))
        unused.close()
        done = starwatt("run", tmp_path / "study.yaml", "--out", tmp_path / "run", "--json")
    assert done.returncode == 1
    assert "Gave up waiting for workers" in json.loads(done.stdout)["error"]


def spec(load: Mapping[str, Any], min_s: float = 0) -> LoadSpec:
    amount = {"kind": "passes", "measure": {"min_s": min_s}}
    fields = {"url": "http://x", "model": "m", "load": load, "prompts": {"dataset": "starwatt-24"}}
    return LoadSpec.model_validate(
        {**fields, "amount": amount, "warmup_s": 0, "drain_s": 1, "seed": 1, "block": 1}
    )


def test_what_only_one_process_can_know_is_driven_by_one() -> None:
    assert shared_by(spec({"kind": "single_stream"}), 4) == 1
    assert shared_by(spec({"kind": "closed", "concurrency": 3}), 4) == 3
    assert shared_by(spec({"kind": "closed", "concurrency": 3}, min_s=5), 4) == 1
    assert shared_by(spec({"kind": "open", "qps": 3}, min_s=5), 4) == 4
    assert shared_by(spec({"kind": "open", "qps": 3, "max_in_flight": 2}), 4) == 1
