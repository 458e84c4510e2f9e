"""``executor: slurm`` on a real Slurm: tasks are lost, preempted, cancelled, and their runner is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.golden.elsewhere import EngineElsewhere
from tests.golden.nvml.world import BoardModel, GoldenBoards
from tests.support.busy import PATIENCE_S
from tests.support.command import COMMAND, starwatt
from tests.support.slurm_cluster import Slurm, cluster, until
from traces.attempts import read_attempts
from traces.cell import read_cell
from traces.layout import CellKey, RunDir
from traces.streams import read_trace

KEY = "a-key-that-goes-by-the-environment"
STUDY: dict[str, Any] = {
    "name": "on-slurm",
    "models": ["golden"],
    "baseline": "a",
    "variants": ["a", "b"],
    "loads": [{"kind": "closed", "concurrency": 2}],
    "prompts": {"dataset": "starwatt-24", "tasks": 4, "max_tokens": 8, "output": {"fixed": 8}},
    "measure": {"passes": 1, "min_s": 0},
    "phases": {"idle_s": 0.5, "warmup_s": 0},
    "blocks": 3,
    "executor": {"kind": "slurm", "gpus": 1, "poll_s": 0.5},
}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """Three nodes."""
    with cluster() as slurm:
        yield slurm


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineElsewhere]:
    """The engine that all nodes measure: where nothing is started, what is tried here is the cluster alone."""
    boards = GoldenBoards(tmp_path / "world", [BoardModel("GPU-none")], idle_w=50.0)
    with EngineElsewhere(boards, key=KEY) as endpoint:
        yield endpoint


class Runner:
    """``starwatt run`` with this cluster; what it prints is kept."""

    def __init__(self, slurm: Slurm, engine: EngineElsewhere, folder: Path) -> None:
        remote = {name: {"url": engine.url, "meter": "local"} for name in ("a", "b")}
        self.study = folder / "study.yaml"
        self.study.write_text(json.dumps({**STUDY, "remote": remote}))
        self.run = RunDir(folder / "run")
        self.log = folder / "log"
        self._environment = {**os.environ, "SLURM_CONF": slurm.configuration, "STARWATT_API_KEY": KEY}

    def start(self) -> subprocess.Popen[bytes]:
        """The command, anew."""
        command = [*COMMAND, "run", str(self.study), "--out", str(self.run.root)]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def begun(self) -> bool:
        """Whether some cell is being loaded."""
        return any(self.run.cells.glob("*/*/*/*/requests.arrows"))

    def written_ns(self) -> dict[CellKey, int]:
        """When each finished cell was."""
        return {
            key: (self.run.cell(key) / "cell.json").stat().st_mtime_ns for key in self.run.finished_cells()
        }

    def job_of(self, unit: str) -> str:
        """The job that was submitted last for a unit."""
        lines = (self.run.slurm / "jobs.jsonl").read_text().splitlines()
        return str([told["job"] for told in map(json.loads, lines) if told["unit"] == unit][-1])


def test_a_study_is_whole_although_a_task_is_lost_another_preempted_and_the_runner_killed(
    slurm: Slurm, engine: EngineElsewhere, tmp_path: Path
) -> None:
    runner = Runner(slurm, engine, tmp_path)
    first = runner.start()
    until(lambda: len(slurm.running()) == 3 and runner.begun(), first, runner.log)
    assert {node for _, node in slurm.tasks().values()} == {"n1", "n2", "n3"}
    preempted, lost = runner.job_of("b1"), runner.job_of("b2")
    printed = runner.run.slurm / f"{lost}_0_log.out"
    until(lambda: "unit b2:" in printed.read_text(), first, runner.log)  # it hears a SIGTERM now
    slurm.ask("scontrol", "requeue", preempted)
    slurm.ask("scancel", lost)
    until(lambda: runner.log.read_text().count("submitted: ") == 2, first, runner.log)
    first.send_signal(signal.SIGKILL)  # its tasks go on
    first.wait()
    kept = runner.written_ns()
    second = runner.start()
    until(lambda: "of an earlier runner" in runner.log.read_text(), second, runner.log)
    code = second.wait(timeout=PATIENCE_S)
    assert code in (0, 3), runner.log.read_text()  # 3: a busy machine may spoil a cell
    _whole(runner, kept)
    assert runner.job_of("b1") == preempted, "what Slurm requeues is not submitted again"
    assert runner.job_of("b2") != lost
    attempts = [attempt for tries in read_attempts(runner.run).values() for attempt in tries]
    assert attempts
    assert {attempt.block for attempt in attempts} == {2}
    assert all(f"Slurm job {lost} on n" in attempt.error for attempt in attempts)
    assert all("ended from outside" in attempt.error for attempt in attempts)
    assert slurm.tasks() == {}


def _whole(runner: Runner, kept: dict[CellKey, int]) -> None:
    """Every cell is there once, those that were finished as they were; what can be made again is the same."""
    run, now = runner.run, runner.written_ns()
    assert len(now) == 6
    assert {key: now[key] for key in kept} == kept
    nodes = set()
    for key in now:
        requests = read_trace(run.cell(key), "requests")
        assert requests.num_rows >= 4
        assert [row for row in requests["role"].to_pylist() if row == "measured"] == ["measured"] * 4
        node = read_cell(run.cell(key)).node
        assert node is not None
        nodes.add(node.name)
    manifest = json.loads(run.manifest.read_text())
    assert nodes <= manifest["nodes"].keys() <= {"n1", "n2", "n3"}
    assert all("SLURM_JOB_ID" in manifest["nodes"][name]["slurm"] for name in nodes)
    findings = json.loads(starwatt("verify", run.root, "--json").stdout)["findings"]
    assert {finding["kind"] for finding in findings} <= {"invalid_cell"}
    assert pq.read_table(run.plan).num_rows == 6
    for script in run.slurm.glob("*_submission.sh"):
        asked = script.read_text()
        assert "#SBATCH --exclusive\n" in asked
        assert "#SBATCH --gpus-per-node=1\n" in asked
    for file in run.root.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_jobs_that_nobody_noted_are_ended_and_blocks_go_on_on_their_nodes(
    slurm: Slurm, engine: EngineElsewhere, tmp_path: Path
) -> None:
    runner = Runner(slurm, engine, tmp_path)
    first = runner.start()
    until(lambda: len(slurm.running()) == 3 and runner.begun(), first, runner.log)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (runner.run.slurm / "jobs.jsonl").unlink()
    strays = slurm.running()
    second = runner.start()
    assert second.wait(timeout=PATIENCE_S) in (0, 3), runner.log.read_text()
    assert f"jobs {', '.join(strays)} were not noted" in runner.log.read_text()
    assert slurm.tasks() == {}
    before = _nodes_of_blocks(runner.run)
    assert all(len(nodes) == 1 for nodes in before.values()), before
    for block in (1, 2):
        key = next(key for key in runner.run.finished_cells() if key.block == block)
        (runner.run.cell(key) / "cell.json").unlink()
    assert runner.start().wait(timeout=PATIENCE_S) in (0, 3), runner.log.read_text()
    assert _nodes_of_blocks(runner.run) == before
    submitted = [line for line in runner.log.read_text().splitlines() if "submitted for n" in line]
    assert len(submitted) >= len(before[1] | before[2])


def _nodes_of_blocks(run: RunDir) -> dict[int, set[str]]:
    tasks_on: dict[int, set[str]] = {}
    for key in run.finished_cells():
        node = read_cell(run.cell(key)).node
        assert node is not None
        tasks_on.setdefault(key.block, set()).add(node.name)
    return tasks_on


def test_ctrl_c_ends_the_jobs_too(slurm: Slurm, engine: EngineElsewhere, tmp_path: Path) -> None:
    runner = Runner(slurm, engine, tmp_path)
    process = runner.start()
    until(lambda: bool(slurm.running()), process, runner.log)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE_S) == 130, runner.log.read_text()
    assert slurm.tasks() == {}


def test_a_task_that_always_dies_is_submitted_as_often_as_the_study_says_and_no_more(
    slurm: Slurm, engine: EngineElsewhere, tmp_path: Path
) -> None:
    runner = Runner(slurm, engine, tmp_path)
    told = json.loads(runner.study.read_text())
    told.update(blocks=1, attempts=2)
    told["executor"]["options"] = {"export": "NONE"}  # so that the key does not reach the nodes
    for remote in told["remote"].values():
        remote["key"] = {"env": "STARWATT_API_KEY"}
    runner.study.write_text(json.dumps(told))
    assert runner.start().wait(timeout=PATIENCE_S) == 1, runner.log.read_text()
    assert len((runner.run.slurm / "jobs.jsonl").read_text().splitlines()) == 2
    attempts = read_attempts(runner.run)
    assert {key.variant: len(tries) for key, tries in attempts.items()} == {"a": 2, "b": 2}
    assert all(
        "STARWATT_API_KEY is to hold a key" in attempt.error
        for tries in attempts.values()
        for attempt in tries
    )
    assert slurm.tasks() == {}


def test_where_slurm_takes_no_job_the_study_says_why(
    slurm: Slurm, engine: EngineElsewhere, tmp_path: Path
) -> None:
    runner = Runner(slurm, engine, tmp_path)
    told = json.loads(runner.study.read_text())
    told["executor"]["partition"] = "no-such-partition"
    runner.study.write_text(json.dumps(told))
    assert runner.start().wait(timeout=PATIENCE_S) == 1
    assert "no-such-partition" in runner.log.read_text() or "invalid partition" in runner.log.read_text()
