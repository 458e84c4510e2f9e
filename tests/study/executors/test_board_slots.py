"""Boards are set by whoever measures on them: each slot its own, and a cluster's node those of its job."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.executor import NeighbourCheck
from configs.loader import load_study
from study.executors.interference import check_cells
from tests.chaos.machine import Machine
from tests.golden.nvml.world import NO_PERMISSION
from tests.study.executors.conftest import UUIDS
from traces.attempts import read_attempts
from traces.cell import read_cell
from traces.clock import boot_id
from traces.layout import RunDir, board_of

pytestmark = pytest.mark.timeout(600)
STUDY = """
name: slots
models: [{model}]
baseline: bf16
variants: [bf16]
loads: [{{kind: single_stream}}]
board: [{{power_limit_w: null}}, {{power_limit_w: 300}}]
prompts: {{dataset: starwatt-24, tasks: 4, max_tokens: 32}}
measure: {{passes: 1, min_s: 0}}
phases: {{idle_s: 0.5, warmup_requests: 1, rest_s: 0.1, cooldown: null, board_settle_s: 0}}
blocks: 2
attempts: 2
meters: {{sample_hz: 50}}
executor: {executor}
seed: 7
"""


def study_file(world: Machine, executor: str) -> Path:
    path = world.folder / "study.yaml"
    path.write_text(STUDY.format(model=world.folder / "model", executor=executor))
    return path


def limits(world: Machine) -> list[tuple[float, int]]:
    return [world.boards[boot_id()].limit_of(number) for number in (0, 1)]


def test_each_slot_sets_its_own_board_and_no_other(world: Machine) -> None:
    run, executor = RunDir(world.disk / "run"), "{kind: side_by_side, neighbours: null}"
    world.start("run", study_file(world, executor), "--out", run.root, "--allow-board-control")
    assert world.end() in (0, 3), world.said
    held = {key: read_cell(run.cell(key)).board for key in run.finished_cells()}
    assert len(held) == 2 * 2
    used = set()
    for key, board in held.items():
        assert board is not None
        [(uuid, shown)] = board.boards.items()
        used.add(uuid)
        assert shown.power_limit_w == (300.0 if board_of(key.load) == "300w" else 700.0)
    assert used == set(UUIDS)
    assert limits(world) == [(700.0, 0)] * 2


def test_whether_neighbours_disturb_is_checked_at_the_first_setting(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(model="starcoder2-memorised", executor="side_by_side"))
    cells = check_cells(load_study(path), RunDir(tmp_path / "run"), NeighbourCheck())
    assert [cell.key.load for cell in cells] == ["single-stream@as-found"] * 2


TASK = """
import sys
from pathlib import Path
from starwatt_errors import RunError
from study.executors.unit_task import measure_unit
from study.measure.study_run import StudyRun

study_run = StudyRun.read(Path(sys.argv[1]), Path(sys.argv[2]))
keys = [tuple(vars(cell.key).values()) for cell in study_run.cells]
try:
    measure_unit(sys.argv[2], "b1", keys, ())
except RunError as error:
    print(error)
"""


def test_a_node_that_may_not_set_its_boards_refuses_in_words_and_is_not_asked_again(world: Machine) -> None:
    run, study = RunDir(world.disk / "run"), study_file(world, "{kind: slurm, gpus: 1}")
    run.slurm.mkdir(parents=True)
    run.study.write_text(study.read_text())
    world.boards[boot_id()].strike("set", NO_PERMISSION)
    done = world.python(TASK, study, run.root)
    assert "root alone may set a board" in done.stdout, done.stderr
    attempts = read_attempts(run)
    assert len(attempts) == 2 * 2
    assert all(tries[-1].final and "root alone" in tries[-1].error for tries in attempts.values())
    assert limits(world) == [(700.0, 0)] * 2
    assert not list(run.root.rglob("cell.json"))
