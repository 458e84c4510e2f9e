"""What the runner itself takes: a cell's share, and a study of 10 000 cells."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median

import pytest

from benchmarks.runner.cells import cell_costs
from benchmarks.runner.large import large_study, measured_but_one, timed, up_to_the_first_engine
from tests.golden.nvml.world import COUNTER, INSTANT, TEMPERATURE, BoardModel
from tests.server.power.conftest import A, golden_boards, nvml_library  # noqa: F401 -- a fixture
from tests.support.yardstick import two_processes

ROOT = Path(__file__).resolve().parents[2]


def test_a_study_of_ten_thousand_cells_plans_and_resumes_in_a_few_times_the_start_of_two_processes(
    tmp_path: Path,
) -> None:
    bound_s = 6 * two_processes().cpu_s
    study, run = large_study(tmp_path), tmp_path / "run"
    planned, anew = timed(lambda: up_to_the_first_engine(study, run))
    assert planned == 10_000
    assert anew.cpu_s < bound_s
    measured_but_one(study, run)
    left, resumed = timed(lambda: up_to_the_first_engine(study, run))
    assert left == 1
    assert resumed.cpu_s < bound_s


def test_a_cell_costs_little_beyond_the_start_of_its_sidecar_and_load_generator(
    tmp_path: Path,
    nvml_library: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    golden_boards(
        nvml_library, tmp_path, monkeypatch, [BoardModel(A, offers=INSTANT | COUNTER | TEMPERATURE)]
    )
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'tests' / 'golden' / 'served'}{os.pathsep}{ROOT}")
    before, costs, after = two_processes(), cell_costs(tmp_path, blocks=3), two_processes()
    assert median(cost.cpu_s for cost in costs) < 4 * max(before.cpu_s, after.cpu_s)
    assert min(cost.added_s for cost in costs) < 3 * max(before.wall_s, after.wall_s), (
        "the least, as other work of the machine can only add to it; and it may have ended by the end, or begun"
    )
