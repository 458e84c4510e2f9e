"""A few real cells on a simulated engine: what each took beyond its own phases."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path

from study.measure.checkpoints import build_all
from study.measure.engine_session import EngineSession
from study.measure.study_run import StudyRun
from study.plan.cpus import place
from study.progress.display import Display
from traces.cell import read_cell

STUDY = """
name: cells
models: [{model}]
baseline: bf16
variants: [bf16]
loads:
  - {{kind: single_stream}}
  - {{kind: closed, concurrency: 3}}
prompts: {{dataset: starwatt-24, tasks: 8, max_tokens: 64}}
measure: {{passes: 1, min_s: 0}}
phases: {{idle_s: 0.5, warmup_s: 0.2, rest_s: 0.1, cooldown: null}}
blocks: {blocks}
engine_restarts: once
"""


@dataclass(frozen=True)
class CellCost:
    """Of one cell: beyond its phases, and CPU time of runner, sidecar and load generator (not of the engine)."""

    added_s: float
    cpu_s: float


def cell_costs(folder: Path, blocks: int) -> list[CellCost]:
    """Measure ``2 x blocks`` cells on one engine start; the environment names the engine and the boards."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "starcoder2"}')
    (model / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (model / "tokenizer.json").write_text("{}")
    file = folder / "cells.yaml"
    file.write_text(STUDY.format(model=model, blocks=blocks))
    study_run = StudyRun.read(file, folder / "run")
    rest_s = study_run.study.phases.rest_s
    costs = []
    with Display("cell", len(study_run.cells)) as display:
        checkpoints = build_all(study_run.study.models, study_run.study.variants)
        session = EngineSession(
            study_run.run, study_run.study, checkpoints, place(study_run.study), (), {}, display
        )
        with session.open_engine(study_run.cells) as measure:
            for cell in study_run.cells:
                wall_s, cpu_s = time.monotonic(), _cpu_s()
                measure(cell)
                took_s, used_s = time.monotonic() - wall_s, _cpu_s() - cpu_s
                phases = read_cell(study_run.run.cell(cell.key)).phases
                known = (phases.idle_before, phases.warmup, phases.window, phases.drain, phases.idle_after)
                spent_s = sum((one.end_ns - one.start_ns) * 1e-9 for one in known if one is not None)
                costs.append(CellCost(took_s - spent_s - rest_s, used_s))
    return costs


def _cpu_s() -> float:
    """Of this process and of all its children that have ended: the engine has not."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
