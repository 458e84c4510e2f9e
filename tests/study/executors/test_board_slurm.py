"""Boards of a study on a real Slurm: set by the task on the node, and put back whatever becomes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.machine import Machine, machine
from tests.study.executors.test_board_slots import study_file
from tests.support.slurm_cluster import Slurm, cluster, until
from traces.attempts import read_attempts
from traces.cell import read_cell
from traces.clock import boot_id
from traces.layout import RunDir, board_of

pytestmark = pytest.mark.timeout(300)
SLURM = "{kind: slurm, gpus: 1, poll_s: 0.5, options: {nodelist: n1}}"
"""One node, and so one task after the other: all nodes of this cluster have the same board."""


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    """One node."""
    with cluster(nodes=1) as slurm:
        yield slurm


@pytest.fixture
def world(
    slurm: Slurm, tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """A simulated board, on a machine that submits to that cluster."""
    monkeypatch.setenv("SLURM_CONF", slurm.configuration)
    with machine(tmp_path / "machine", nvml_library) as made:
        yield made


def of_the_task(world: Machine, part: str | None = None) -> list[psutil.Process]:
    """Processes that a task of the cluster has started."""
    processes = []
    for process in world.processes(part):
        with contextlib.suppress(psutil.Error):
            processes += [process] if process.environ().get("SLURM_JOB_ID") else []
    return processes


def test_limits_are_put_back_by_the_next_task_where_slurm_killed_one_outright(
    world: Machine, slurm: Slurm
) -> None:
    run = RunDir(world.disk / "run")

    def limit_w() -> float:
        return world.boards[boot_id()].limit_of(0)[0]

    study = study_file(world, SLURM)
    study.write_text(study.read_text().replace("blocks: 2", "blocks: 1"))
    world.start("run", study, "--out", run.root, "--allow-board-control")
    assert world.runner is not None
    until(lambda: limit_w() == 300.0, world.runner, world.log)
    [job] = slurm.running()
    reapers, processes = of_the_task(world, "reaper"), of_the_task(world)
    assert reapers
    # All of the task, and first who would put the board back when it is gone.
    for process in (*reapers, *processes):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    slurm.ask("scancel", job)
    assert world.end() in (0, 3), world.said
    assert world.boards_as_found()
    held = {key: read_cell(run.cell(key)).board for key in run.finished_cells()}
    assert len(held) == 2
    for key, board in held.items():
        assert board is not None
        [shown] = board.boards.values()
        assert shown.found_w == 700.0
        assert shown.power_limit_w == (300.0 if board_of(key.load) == "300w" else 700.0)
    attempts = [attempt for tries in read_attempts(run).values() for attempt in tries]
    assert {f"Slurm job {job} on n1" in attempt.error for attempt in attempts} == {True}
    assert slurm.tasks() == {}
