"""A study of 10 000 cells: how long until the first engine could be started, anew and when all but one are measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from study.measure.study_run import StudyRun
from study.plan.cells import plan_table
from study.records.lock import locked
from traces.atomic import write_parquet

STUDY = """
name: large
models: [starcoder2-3b, starcoder2-7b]
baseline: bf16
variants: [bf16, fp16, fp32, pruned-last-1, pruned-last-2]
loads: [{loads}]
prompts: {{dataset: starwatt-24, output: {{fixed: 64}}}}
blocks: 100
"""
FILES = (
    "cell.json", "requests.parquet", "schedule.parquet", "power.parquet", "engine.parquet", "grades.parquet",
)  # fmt: skip


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock and of CPU time."""

    wall_s: float
    cpu_s: float


def large_study(folder: Path) -> Path:
    """Its file: 2 models x 5 variants x 10 loads x 100 blocks."""
    file = folder / "large.yaml"
    loads = ", ".join(f"{{kind: closed, concurrency: {number}}}" for number in range(1, 11))
    file.write_text(STUDY.format(loads=loads))
    return file


def up_to_the_first_engine(study: Path, run: Path) -> int:
    """What ``starwatt run`` does with the plan before it starts an engine; how many cells are left."""
    study_run = StudyRun.read(study, run)
    with locked(study_run.run, study_run.study, study):
        todo = study_run.todo()
        write_parquet(study_run.run.plan, plan_table(study_run.cells))
    return len(todo)


def measured_but_one(study: Path, run: Path) -> None:
    """As if all cells but the last had been measured."""
    study_run = StudyRun.read(study, run)
    for cell in study_run.cells[:-1]:
        folder = study_run.run.cell(cell.key)
        folder.mkdir(parents=True)
        for name in FILES:
            (folder / name).touch()


def timed(work: Callable[[], int]) -> tuple[int, Spent]:
    """What it returned, and what it took."""
    wall_s, cpu_s = time.monotonic(), time.process_time()
    found = work()
    return found, Spent(time.monotonic() - wall_s, time.process_time() - cpu_s)
