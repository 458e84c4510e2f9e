"""Several boards of one machine at once: each engine has its own board, CPUs, port and sidecar; neighbours are checked."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.tables import read_table
from analysis.verify import verify
from tests.chaos.campaign import DONE
from tests.chaos.machine import BOARDS, Machine, machine
from tests.chaos.outcome import outcome_of, scraps
from tests.server.power.conftest import nvml_library  # noqa: F401 -- a fixture
from traces.cell import CellRecord, read_cell
from traces.layout import CellKey, RunDir
from traces.streams import read_trace

pytestmark = pytest.mark.timeout(300)
UUIDS = ("GPU-00000000-c0de", "GPU-11111111-c0de")
STUDY = """
name: beside
models: [{model}]
baseline: bf16
variants: [bf16, fp16]
loads:
  - {{kind: closed, concurrency: 3}}
prompts: {{dataset: starwatt-24, tasks: 6, max_tokens: 64}}
measure: {{passes: 1, min_s: {min_s}}}
phases: {{idle_s: 0.5, warmup_requests: 2, rest_s: 0.1, cooldown: {{timeout_s: 0}}}}
blocks: {blocks}
attempts: 1000
engine: {{hang_timeout_s: 5, start_timeout_s: 20}}
meters: {{sample_hz: 50}}
executor: {{kind: side_by_side{slots}}}
seed: 7
"""


@pytest.fixture
def world(tmp_path: Path, nvml_library: Path) -> Iterator[Machine]:
    """A machine with two boards."""
    boards = [replace(BOARDS[0], uuid=uuid) for uuid in UUIDS]
    with machine(tmp_path / "machine", nvml_library, boards=boards) as made:
        yield made


def study_file(world: Machine, *, blocks: int = 3, min_s: float = 1, slots: str = "") -> Path:
    path = world.folder / "study.yaml"
    path.write_text(
        STUDY.format(model=world.folder / "model", blocks=blocks, min_s=min_s, slots=slots)
    )
    return path


def records(run: RunDir) -> dict[CellKey, CellRecord]:
    return {key: read_cell(run.cell(key)) for key in run.finished_cells()}


def device_of(run: RunDir, key: CellKey) -> set[str]:
    """The boards in a cell's power trace."""
    return set(read_trace(run.cell(key), "power").column("device").to_pylist())


def test_two_blocks_are_measured_at_once_each_on_its_own_board(world: Machine) -> None:
    run = RunDir(world.disk / "run")
    world.start("run", study_file(world), "--out", run.root)
    assert world.end() in DONE, world.said
    assert world.left_behind() == []
    found = records(run)
    assert len(found) == 6
    slots = {f"{os.uname().nodename}:gpu{number}": uuid for number, uuid in enumerate(UUIDS)}
    for key, record in found.items():
        assert record.node is not None
        assert device_of(run, key) == {slots[record.node.name]}
        assert record.node.cpus == len(os.sched_getaffinity(0)) // 2
    for block in (1, 2, 3):
        assert len({record.node.name for key, record in found.items() if record.node and key.block == block}) == 1
    assert len({record.node.name for record in found.values() if record.node}) == 2
    windows = sorted((record.phases.window.start_ns, record.phases.window.end_ns) for record in found.values() if record.phases.window)  # fmt: skip
    assert any(second[0] < first[1] for first, second in zip(windows, windows[1:], strict=False)), "one after another"
    manifest = json.loads(run.manifest.read_text())
    assert {name: about["gpus"] for name, about in manifest["nodes"].items()} == {name: [uuid] for name, uuid in slots.items()}
    assert set(manifest["sensor_calibration"]["devices"]) == set(UUIDS)
    assert "several machines" not in run.report.read_text()


def test_the_same_cell_is_measured_again_with_nobody_beside_it(world: Machine) -> None:
    run = RunDir(world.disk / "run")
    world.start("run", study_file(world), "--out", run.root)
    assert world.end() in DONE, world.said
    alone = RunDir(run.alone)
    again, before = records(alone), records(run)
    assert {(key.variant, key.load, key.block) for key in again} == {("bf16", "closed-3", block) for block in (1, 2, 3)}
    for key, record in again.items():
        assert record.node == before[key].node, "on another slot the board's own figure would be in it"
        ids = [set(read_trace(one.cell(key), "requests").column("request_id").to_pylist()) for one in (run, alone)]
        assert ids[0] == ids[1]
    rows = {row["metric"]: row for row in read_table(run, "neighbours").to_pylist()}
    joules = rows["j_per_request"]
    assert joules["blocks"] + ("neighbours_idle" in joules["reasons"]) >= 1
    assert joules["value"] == pytest.approx(1, abs=0.3)
    assert [f for f in verify(run).findings if f.kind not in ("invalid_cell",)] == []
    finished = {key: (alone.cell(key) / "cell.json").stat().st_mtime_ns for key in again}
    world.start("run", world.folder / "study.yaml", "--out", run.root)
    assert world.end() in DONE, world.said
    assert {key: (alone.cell(key) / "cell.json").stat().st_mtime_ns for key in again} == finished
    (alone.cell(next(iter(again))) / "cell.json").unlink()
    world.start("run", world.folder / "study.yaml", "--out", run.root)
    assert world.end() in DONE, world.said
    assert len(records(alone)) == 3
