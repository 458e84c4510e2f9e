"""A study whose engines run elsewhere, each with another way of recording its power."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analysis.cells.cell import analyse_cell
from analysis.cells.context import read_context
from configs.loader import load_study
from server.engines.remote import RemoteEngine
from server.power.service.client import MeterUnreachableError
from server.power.service.token import TOKEN_VARIABLE
from starwatt_errors import MeterError
from study.measure import remote_engine as remote
from study.measure.cell import counts_chunks
from study.measure.remote_engine import describe
from tests.golden.elsewhere import STARTED_S, EngineElsewhere
from tests.golden.nvml.world import COUNTER, INSTANT, BoardModel, GoldenBoards
from tests.server.power.conftest import A, nvml_library  # noqa: F401 -- a fixture
from tests.support.busy import PATIENCE_S
from tests.support.command import start, starwatt
from tests.support.metering import TOKEN, served
from traces.cell import read_cell
from traces.layout import CellKey, RunDir
from traces.streams import has_trace, read_trace

KEY = "a-key-of-a-test-abcdefgh"
HOUR_NS = 3600 * 1_000_000_000
SHIFTED = str(Path(__file__).parents[2] / "support" / "shifted_clock")
STUDY: dict[str, Any] = {
    "name": "elsewhere",
    "models": ["golden"],
    "baseline": "far",
    "loads": [{"kind": "closed", "concurrency": 4}],
    "prompts": {"dataset": "starwatt-24", "tasks": 8, "max_tokens": 12, "output": {"fixed": 12}},
    "measure": {"passes": 1, "min_s": 3},
    "phases": {"idle_s": 1, "warmup_s": 0.3},
    "blocks": 1,
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineElsewhere]:
    """One engine with a key, whose board no process finds unless it is told."""
    board = BoardModel(A, offers=INSTANT | COUNTER, update_s=0.05, window_s=0.05)
    boards = GoldenBoards(tmp_path / "world", [board], idle_w=50.0)
    with EngineElsewhere(boards, key=KEY) as endpoint:
        yield endpoint


def study_file(folder: Path, remote: dict[str, Any], **changes: Any) -> Path:
    """A study of these engines."""
    path = folder / "study.yaml"
    path.write_text(json.dumps({**STUDY, "variants": list(remote), "remote": remote, **changes}))
    return path


def test_engines_elsewhere_are_measured_like_our_own(
    tmp_path: Path,
    nvml_library: Path,  # noqa: F811
    engine: EngineElsewhere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = os.pathsep.join(filter(None, (SHIFTED, os.environ.get("PYTHONPATH"), str(Path.cwd()))))
    there = {
        **engine.boards.environment(nvml_library),
        "PYTHONPATH": path,
        "TEST_CLOCK_SHIFT_NS": str(HOUR_NS),
    }
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("METER_OF_FAR", TOKEN)
    with served(environment=there) as (meter, _):
        remote: dict[str, dict[str, Any]] = {
            "far": {"url": f"{engine.url}/v1", "meter": meter, "token": {"env": "METER_OF_FAR"}},
            "near": {"url": engine.url, "meter": "local", "model": "golden"},
            "bare": {"url": engine.url},
        }
        for named in remote.values():
            named["key"] = {"file": str(tmp_path / "key")}
        done = starwatt("run", study_file(tmp_path, remote), "--out", tmp_path / "run", "--json")
    assert done.returncode == 3, done.stderr  # bare has no power
    run = RunDir(tmp_path / "run")
    keys = {key.variant: key for key in run.finished_cells()}
    assert keys.keys() == remote.keys()
    for key in keys.values():
        _is_whole(run, key, engine)
    _joules_are_those_of_the_world(run, keys["far"], engine)
    _each_has_its_own_power(run, keys)
    manifest = json.loads(run.manifest.read_text())
    assert manifest["remote"]["far"]["meter"] == meter
    assert A in manifest["sensor_calibration"]["devices"]
    assert manifest["nodes"][manifest["remote"]["far"]["host"]]["gpus"] == [A]
    contrasts = pq.read_table(run.table("contrasts")).to_pylist()
    ratios = [row for row in contrasts if row["metric"] == "tokens_per_request_ratio"]
    assert ratios
    assert all("one_engine_start" in row["reasons"] for row in ratios)
    verified = json.loads(starwatt("verify", run.root, "--json").stdout)
    assert {finding["kind"] for finding in verified["findings"]} <= {"invalid_cell"}
    for file in run.root.rglob("*.*"):
        for secret in (KEY, TOKEN):
            assert secret.encode() not in file.read_bytes()


def test_an_engine_elsewhere_is_asked_for_the_tokens_of_chunks_unless_its_study_says_no(
    tmp_path: Path,
) -> None:
    remote = {"far": {"url": "http://h", "continuous_usage": False}, "near": {"url": "http://i"}}
    study = load_study(study_file(tmp_path, remote))
    assert [counts_chunks(study, variant) for variant in ("far", "near", "bf16")] == [False, True, True]


def test_prometheus_sees_the_cell_that_is_measured(
    tmp_path: Path, engine: EngineElsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARWATT_KEY_HERE", KEY)
    remote = {"far": {"url": engine.url, "key": {"env": "STARWATT_KEY_HERE"}}}
    runner = start("run", study_file(tmp_path, remote), "--out", tmp_path / "run", "--metrics-port", 0)
    assert runner.stderr is not None
    seen: set[str] = set()
    try:
        url = next(line for line in iter(runner.stderr.readline, b"") if b"metrics: " in line).split()[-1]
        draining = threading.Thread(target=runner.stderr.read)  # it must not wait for a reader
        draining.start()
        while runner.poll() is None:
            try:
                with urllib.request.urlopen(url.decode(), timeout=5) as response:
                    seen |= set(response.read().decode().splitlines())
            except OSError:  # the cells are measured; it analyses
                break
            time.sleep(0.2)
    finally:
        runner.wait(timeout=PATIENCE_S)
    draining.join()
    for pipe in (runner.stdout, runner.stderr):
        if pipe is not None:
            pipe.close()
    lines = [line for line in seen if not line.startswith("#")]
    assert 'starwatt_cells{state="planned",study="elsewhere"} 1.0' in lines
    assert any(line.startswith("starwatt_cell{") and 'variant="far"' in line for line in lines)
    running = [float(line.split()[-1]) for line in lines if line.startswith("starwatt_requests_running{")]
    assert max(running) == 4


def _is_whole(run: RunDir, key: CellKey, engine: EngineElsewhere) -> None:
    folder = run.cell(key)
    served_by = read_cell(folder).served
    assert (served_by.engine, served_by.version, served_by.url) == ("vllm", "0.32.0", engine.url)
    assert (served_by.kv_cache_tokens, served_by.prefix_cache) == (512 * 16, False)
    assert (served_by.root, served_by.started_s) == ("/models/golden", STARTED_S)
    assert read_cell(folder).engine_start is None
    assert set(read_trace(folder, "requests")["status"].to_pylist()) <= {"ok", "aborted"}
    assert max(filter(None, read_trace(folder, "engine")["running"].to_pylist())) <= 4
    assert not (folder / "engine.log").exists()


def _joules_are_those_of_the_world(run: RunDir, key: CellKey, engine: EngineElsewhere) -> None:
    clock = read_cell(run.cell(key)).power_clock
    assert clock is not None
    assert clock.start.lowest_ns <= HOUR_NS <= clock.start.highest_ns
    result = analyse_cell(run, key, read_context(run)[0])
    assert result.primary is not None
    assert result.primary.energy_j is not None
    assert result.measured is not None
    window = result.measured.window
    true_j = engine.boards.true_j(window.start_ns, window.end_ns)
    assert result.primary.energy_j == pytest.approx(true_j, rel=0.05)


def _each_has_its_own_power(run: RunDir, keys: dict[str, CellKey]) -> None:
    far, near, bare = (run.cell(keys[name]) for name in ("far", "near", "bare"))
    assert set(read_trace(far, "power")["source"].to_pylist()) == {"nvml"}
    assert set(read_trace(near, "power")["source"].to_pylist()) <= {"modelled", "rapl"}
    assert not has_trace(bare, "power")
    nodes = [read_cell(folder).node for folder in (far, near, bare)]
    assert all(node is not None for node in nodes)
    assert nodes[2] is not None
    assert nodes[2].name == "127.0.0.1"


def test_a_secret_that_is_not_where_the_study_says_is_a_usage_error_before_anything_runs(
    tmp_path: Path, engine: EngineElsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    remote: dict[str, Any] = {"far": {"url": engine.url, "meter": "http://127.0.0.1:1"}}
    done = starwatt("run", study_file(tmp_path, remote), "--out", tmp_path / "run", "--json")
    assert done.returncode == 2
    assert f"set {TOKEN_VARIABLE}" in json.loads(done.stdout)["error"]
    remote = {"far": {"url": engine.url, "key": {"file": str(tmp_path / "no-such-file")}}}
    done = starwatt("run", study_file(tmp_path, remote), "--out", tmp_path / "run", "--json")
    assert done.returncode == 2
    assert "no-such-file" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "run").exists()
    assert engine.steps == []


def test_an_engine_that_refuses_the_key_is_tried_and_given_up_with_its_words(
    tmp_path: Path, engine: EngineElsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARWATT_API_KEY", "not-this-one")
    remote = {"far": {"url": engine.url, "wait_s": 0}}
    done = starwatt("run", study_file(tmp_path, remote, attempts=2), "--out", tmp_path / "run", "--json")
    assert done.returncode == 1
    assert "refuses the key" in json.loads(done.stdout)["error"]
    assert "not-this-one" not in (tmp_path / "run" / "attempts.jsonl").read_text()


class LateMeter:
    """A client of a service that answers from the third time on."""

    url = "http://meter"

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, method: str, path: str) -> dict[str, Any]:
        self.asked += 1
        if self.asked < 3:
            raise MeterUnreachableError("Connection refused")
        return {"name": "gpu7", "asked": f"{method} {path}"}

    def close(self) -> None:
        pass


def test_a_meter_that_is_being_started_is_waited_for_and_one_that_never_is_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"far": {"url": "http://engine", "meter": "http://meter"}}
    study = load_study(study_file(tmp_path, named))
    engine = RemoteEngine("http://engine", "golden", None)
    late, said = LateMeter(), list[str]()
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setattr(remote, "ServiceClient", lambda *_: late)
    monkeypatch.setattr(remote, "_POLL_S", 0.01)
    describe(RunDir(tmp_path), study, "far", engine, said.append)
    told = json.loads((tmp_path / "engines" / "far.json").read_text())
    assert told["host"] == {"name": "gpu7", "asked": "GET /v1/host"}
    assert said == ["waiting for http://meter"] * 2
    late.asked = -10_000
    impatient = study.remote["far"].model_copy(update={"wait_s": 0.1})
    with pytest.raises(MeterError, match=r"Connection refused \(waited 0\.1 s\)"):
        describe(
            RunDir(tmp_path),
            study.model_copy(update={"remote": {"far": impatient}}),
            "far",
            engine,
            said.append,
        )
