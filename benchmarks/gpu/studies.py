"""The studies behind the published figures of a GPU, most valuable first; small enough for half an hour in all.

StarCoder2's true shapes with random weights that are really written and really quantised; HumanEval+'s prompts; answers
as long as the canonical solutions, so that requests of a batch end at different times.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.datasets import load_dataset
from configs.schema import Study

CHARACTERS_A_TOKEN = 3  # of code, about
SHORTEST, LONGEST = 16, 256

#: Variants, and requests in flight (1 is single-stream), of each stage.
STAGES: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "first": (("bf16", "fp8", "int4-w4a16"), (1, 8, 64)),
    "batching": (("bf16",), (2, 4, 16, 32, 128, 256)),
    "bitsandbytes": (("bf16", "bf16-eager", "nf4-bnb", "int8-bnb"), (1, 8, 64)),
    "published": (("bf16", "int4-w4a16"), (1, 16, 128)),
    "paper": (("bf16", "bf16-hf", "paper-int8-hf", "paper-fp4-hf"), (1,)),
    "pruning": (("bf16", "bf16-pruned-last-2", "bf16-pruned-last-4", "bf16-pruned-last-8"), (1, 64)),
    "awq": (("bf16", "int4-awq"), (1, 8, 64)),
}


def study_of(
    stage: str,
    model: str,
    lengths: Path,
    *,
    dataset: str = "humaneval+",
    tasks: int = 48,
    seconds: float = 12.0,
    blocks: int = 3,
    engines: Mapping[str, str] | None = None,
) -> Study:
    """The study of a stage: blocks outermost, so that what ends early leaves whole comparisons.

    ``engines``: by variant, the address of one that stays loaded on this machine. Starting one takes longer than
    measuring it, so that half an hour holds three blocks of several variants only where all are loaded at once.
    """
    variants, in_flight = STAGES[stage]
    return Study.model_validate(
        {
            "name": f"gpu-{stage}",
            "models": [model],
            "baseline": variants[0],
            "variants": list(variants),
            "remote": {
                name: {"url": url, "meter": "local", "wait_s": 300}
                for name, url in (engines or {}).items()
                if name in variants
            },
            "loads": [_load(number) for number in in_flight],
            "prompts": {
                "dataset": dataset,
                "tasks": tasks,
                "max_tokens": LONGEST,
                "output": {"recorded": str(lengths)},
            },
            "measure": {"passes": 1, "min_s": seconds},
            "phases": {"idle_s": 2, "warmup_s": 3, "rest_s": 1.2, "cooldown": None},
            "blocks": blocks,
            "engine_restarts": "each_block",
            "engine": {"max_model_len": 2048, "max_num_seqs": max(in_flight)},
            "seed": 20,
        }
    )


def _load(in_flight: int) -> dict[str, str | int]:
    return {"kind": "single_stream"} if in_flight == 1 else {"kind": "closed", "concurrency": in_flight}


def write_lengths(path: Path, dataset: str, models: Sequence[str]) -> Path:
    """A table of answer lengths in tokens: each canonical solution's characters over three, from 16 to 256."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("model", "task_id", "tokens"))
        for model in models:
            for task in load_dataset(dataset).tasks:
                tokens = len(task.canonical_solution) // CHARACTERS_A_TOKEN
                rows.writerow((model, task.task_id, min(LONGEST, max(SHORTEST, tokens))))
    return path
