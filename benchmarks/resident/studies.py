"""One study, with an engine start a variant and block and with engines that stay loaded: how long, and what it says."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.opened import open_run
from study.records.repeat import WantedStudy
from study.run import run_study
from traces.layout import RunDir

MODEL = "starcoder2-memorised"
VARIANTS = ("bf16", "int8-bnb", "nf4-bnb", "int4-awq", "pruned-last-2")
STUDY = """
name: resident
models: [{model}]
baseline: bf16
variants: [{variants}]
loads:
  - {{kind: single_stream}}
  - {{kind: closed, concurrency: 4}}
  - {{kind: closed, concurrency: 8}}
prompts: {{dataset: starwatt-24, tasks: 8, max_tokens: 64}}
measure: {{passes: 1, min_s: 0.5}}
phases: {{idle_s: 0.5, warmup_s: 0.2, rest_s: 0.5}}
blocks: 5
engine_restarts: {restarts}
engine: {{max_model_len: 512, max_num_seqs: 64, enforce_eager: true}}
meters: {{sample_hz: 50}}  # windows of half a second hold enough readings
cpus: split
seed: 20
"""
RESTARTS = {"each_block": "each_block", "resident": "{resident: auto, every: 5}"}
Side = tuple[str, str]
"""A variant under a load."""


@dataclass(frozen=True)
class Effect:
    """J/request of a variant over the baseline's, as a logarithm, and half of its interval."""

    log_ratio: float
    half: float


@dataclass(frozen=True)
class Ran:
    """A study that was run."""

    seconds: float
    effects: Mapping[Side, Effect]


def ran(name: str, folder: Path) -> Ran:
    """Run the study in one of the ways; checkpoints are in the store already."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(
        STUDY.format(model=MODEL, variants=", ".join(VARIANTS), restarts=RESTARTS[name]), encoding="utf-8"
    )
    begun_s = time.monotonic()
    run_study(WantedStudy(file, folder / name))
    return Ran(time.monotonic() - begun_s, effects_in(RunDir(folder / name)))


def effects_in(run: RunDir) -> dict[Side, Effect]:
    """All variants against the baseline, those that have an interval."""
    rows = [one for one in open_run(run).rows("contrasts") if one["metric"] == "j_per_request_ratio"]
    return {
        (row["variant"], row["load"]): Effect(math.log(row["value"]), math.log(row["hi"] / row["value"]))
        for row in rows
        if row["contrast"] == "variant_vs_baseline" and row["hi"] is not None
    }


def agree(one: Effect, other: Effect) -> bool:
    """Say whether two effects differ by no more than their intervals together."""
    return abs(one.log_ratio - other.log_ratio) <= math.hypot(one.half, other.half)
