"""What a task of the array measures, and what is asked of Slurm for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.executor import Slurm
from configs.schema import Study
from study.executors.choice import executor_for
from study.executors.slurm_queue import read_jobs, sbatch_parameters
from tests.study.plan.test_cells import FIELDS, plan
from traces.layout import RunDir


@pytest.mark.parametrize(
    ("unit", "restarts", "shared"),
    [("block", "each_block", "block"), ("engine_start", "each_block", "start"), ("block", "once", "start")],
)
def test_units_hold_every_cell_once_and_no_engine_start_is_split(
    unit: str, restarts: str, shared: str
) -> None:
    study = Study.model_validate(
        {**FIELDS, "engine_restarts": restarts, "executor": {"kind": "slurm", "unit": unit}}
    )
    cells = plan(engine_restarts=restarts)
    units = executor_for(study, RunDir(Path())).units(cells)
    assert [cell for part in units for cell in part.cells] == cells
    assert len({part.name for part in units}) == len(units)
    for part in units:
        assert len({cell.key.block if shared == "block" else cell.engine_start for cell in part.cells}) == 1
    starts = [{cell.engine_start for cell in part.cells} for part in units]
    assert sum(map(len, starts)) == len(set.union(*starts))
    assert len(units) == (4 if shared == "block" else len({cell.engine_start for cell in cells}))


@pytest.mark.parametrize("unit", ["block", "engine_start"])
def test_where_engines_stay_loaded_a_unit_is_what_lies_between_two_starts_of_all(unit: str) -> None:
    restarts = {"resident": "auto", "every": 3}
    study = Study.model_validate(
        {**FIELDS, "engine_restarts": restarts, "executor": {"kind": "slurm", "unit": unit}}
    )
    units = executor_for(study, RunDir(Path())).units(plan(engine_restarts=restarts))
    assert [unit.name for unit in units] == ["starts0", "starts1"]
    assert [sorted({cell.key.block for cell in unit.cells}) for unit in units] == [[1, 2, 3], [4]]


def test_boards_and_exclusivity_are_asked_for() -> None:
    asked = sbatch_parameters("s", Slurm(gpus=2, memory_gib=1.5, options={"reservation": "mine"}))
    assert (asked["gpus_per_node"], asked["exclusive"], asked["mem"]) == (2, True, "1536M")
    assert asked["additional_parameters"] == {"reservation": "mine"}
    assert asked["use_srun"] is False
    without = sbatch_parameters("s", Slurm(gpus=0, exclusive=False))
    assert {"gpus_per_node", "exclusive", "partition"}.isdisjoint(without)


def test_the_last_job_of_a_unit_counts_and_a_torn_line_does_not(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert read_jobs(run) == {}
    run.slurm.mkdir()
    lines = '{"unit": "b1", "job": "1_0"}\n{"unit": "b2", "job": "1_1"}\n{"unit": "b1", "job": "7"}\n{"unit": "b2", '
    (run.slurm / "jobs.jsonl").write_text(lines)
    assert read_jobs(run) == {"b1": "7", "b2": "1_1"}
