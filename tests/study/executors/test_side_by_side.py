"""Several boards of one machine at once, each engine with its own board, CPUs and sidecar; neighbours are checked."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
from pathlib import Path

import pytest

from analysis.contrasts.interference import overlap, windows_of
from analysis.tables import read_table
from analysis.verify.run import verify
from tests.chaos.campaign import DONE, Chaos
from tests.chaos.machine import Machine
from tests.chaos.outcome import outcome_of, scraps
from tests.chaos.test_chaos import compare
from tests.study.executors.conftest import UUIDS
from traces.cell import CellRecord, read_cell
from traces.layout import CellKey, RunDir
from traces.streams import read_trace

pytestmark = pytest.mark.timeout(600)
STUDY = """
name: beside
models: [{model}]
baseline: bf16
variants: [bf16, fp16]
loads:
  - {{kind: closed, concurrency: 3}}
prompts: {{dataset: starwatt-24, tasks: 6, max_tokens: 64}}
measure: {{passes: 1, min_s: 1}}
phases: {{idle_s: 0.5, warmup_requests: 2, rest_s: 0.1, cooldown: {{timeout_s: 0}}}}
blocks: 3
attempts: 1000
engine: {{hang_timeout_s: 5, start_timeout_s: 20}}
meters: {{sample_hz: 50}}
executor: {{kind: side_by_side}}
seed: 7
"""


def study_file(world: Machine) -> Path:
    path = world.folder / "study.yaml"
    path.write_text(STUDY.format(model=world.folder / "model"))
    return path


def records(run: RunDir) -> dict[CellKey, CellRecord]:
    return {key: read_cell(run.cell(key)) for key in run.finished_cells()}


def written(run: RunDir) -> dict[CellKey, int]:
    """When each cell was finished."""
    return {key: (run.cell(key) / "cell.json").stat().st_mtime_ns for key in run.finished_cells()}


def first_pass_of(run: RunDir, key: CellKey) -> list[str]:
    """The tasks of a cell's first measured pass, as they were asked; how many more there are decides the machine."""
    rows = read_trace(run.cell(key), "requests").to_pylist()
    asked = [row for row in rows if (row["role"], row["sample"]) == ("measured", 0)]
    return [row["task_id"] for row in sorted(asked, key=lambda row: row["request_id"])]


def device_of(run: RunDir, key: CellKey) -> set[str]:
    """The boards in a cell's power trace."""
    return set(read_trace(run.cell(key), "power").column("device").to_pylist())


def test_a_study_on_two_boards_at_once_is_whole_although_a_slot_and_the_runner_were_killed(
    world: Machine,
) -> None:
    run, study = RunDir(world.disk / "run"), study_file(world)
    world.start("run", study, "--out", run.root)
    world.until(lambda: len(world.processes("load")) == 2, "both slots measure at once")
    world.processes("slot")[0].send_signal(signal.SIGKILL)
    missed = re.compile(r"unit b\d was lost with [12] cells left \(signal 9\)")
    world.until(lambda: missed.search(world.said) is not None, "it is missed")
    world.until(lambda: len(records(run)) >= 1 and len(world.processes("slot")) == 2, "both go on")
    kept = written(run)
    world.kill_runner()
    assert world.left_behind() == []
    world.start("run", study, "--out", run.root)
    assert world.end() in DONE, world.said
    assert world.left_behind() == []
    assert {key: at for key, at in written(run).items() if key in kept} == kept
    each_block_has_one_board(run)
    neighbours_were_checked(run, world)
    assert scraps(run) == []
    assert [finding for finding in verify(run).findings if finding.kind != "invalid_cell"] == []
    again = next(iter(records(RunDir(run.alone))))
    (RunDir(run.alone).cell(again) / "cell.json").unlink()
    second = next(key for key in records(run) if device_of(run, key) == {UUIDS[1]})
    (run.cell(second) / "cell.json").unlink()
    before = written(run)
    world.start("run", study, "--out", run.root)
    assert world.end() in DONE, world.said
    assert again in records(RunDir(run.alone)), "a check that is not whole is made whole"
    assert {key: at for key, at in written(run).items() if key != second} == before
    each_block_has_one_board(run)  # the first board had nothing to do, and yet it was the second that went on


def each_block_has_one_board(run: RunDir) -> None:
    """Cells of a block share a board; sidecars read no other; both boards measured some."""
    cells = records(run)
    assert len(cells) == 6
    slots = {f"{os.uname().nodename}:gpu{number}": uuid for number, uuid in enumerate(UUIDS)}
    places: dict[int, set[str]] = {}
    for key, record in cells.items():
        assert record.node is not None
        places.setdefault(key.block, set()).add(record.node.name)
        assert device_of(run, key) == {slots[record.node.name]}
        assert record.node.cpus == len(os.sched_getaffinity(0)) // 2
    assert all(len(names) == 1 for names in places.values())
    assert set.union(*places.values()) == set(slots)
    manifest = json.loads(run.manifest.read_text())
    told = {name: about["gpus"] for name, about in manifest["nodes"].items()}
    assert told == {name: [uuid] for name, uuid in slots.items()}
    assert set(manifest["sensor_calibration"]["devices"]) == set(UUIDS)


def neighbours_were_checked(run: RunDir, world: Machine) -> None:
    """The baseline's cell of each block once more, on the same slot, with the same requests, and nobody beside it."""
    alone = RunDir(run.alone)
    again, before = records(alone), records(run)
    assert {(key.variant, key.load, key.block) for key in again} == {
        ("bf16", "closed-3", block) for block in (1, 2, 3)
    }
    for key, record in again.items():
        assert record.node == before[key].node, "on another slot the board's own figure would be in it"
        asked = first_pass_of(run, key)
        assert first_pass_of(alone, key) == asked
        assert len(set(asked)) == len(asked) == 6
        assert not overlap(key, {**windows_of(run), key: windows_of(alone)[key]})
    joules = next(
        row for row in read_table(run, "neighbours").to_pylist() if row["metric"] == "j_per_request"
    )
    assert (joules["value"] is None) == (joules["blocks"] == 0)
    least, most = ratios_of_the_world(run, world)
    assert joules["value"] is None or least <= joules["value"] <= most


def ratios_of_the_world(run: RunDir, world: Machine) -> tuple[float, float]:
    """Between these any mean of J/request beside over alone must lie, by what the boards really drew."""
    near, far = (outcome_of(place, world.boards).joules for place in (run, RunDir(run.alone)))
    both = [(near[key], far[key]) for key in near.keys() & far.keys()]
    least = [
        (beside.true_j - beside.uncertainty_j) / (alone.true_j + alone.uncertainty_j)
        for beside, alone in both
    ]
    most = [
        (beside.true_j + beside.uncertainty_j) / (alone.true_j - alone.uncertainty_j)
        for beside, alone in both
    ]
    return min(least, default=0.0), max(most, default=math.inf)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_boards_at_once_that_are_struck_fifty_times_are_as_if_nobody_had(world: Machine) -> None:
    study, quiet = study_file(world), RunDir(world.disk / "quiet")
    world.start("run", study, "--out", quiet.root)
    assert world.end() in DONE, world.said
    world.runner = None
    before = outcome_of(quiet, world.boards)
    struck = Chaos(world, study, random.Random(3))  # noqa: S311 -- no secret
    struck.blows(50)
    for run in struck.finished:
        assert compare(before, outcome_of(run, world.boards)) > 0, "no energy was compared"
        each_block_has_one_board(run)
        neighbours_were_checked(run, world)
        assert scraps(run) == []
