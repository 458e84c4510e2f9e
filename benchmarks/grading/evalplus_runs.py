"""evalplus itself, from its own command line in a process of its own: the verdicts to agree with, the time to beat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LIMIT_S = 3600
#: What a verdict of evalplus is: the status of base and of plus (``pass``, ``fail`` or ``timeout``).
Verdict = tuple[str, str]


@dataclass(frozen=True)
class Sample:
    """A whole program for a task."""

    task_id: str
    solution: str


@dataclass(frozen=True)
class EvalplusRun:
    """The verdicts in the order of the samples, and the seconds that ``evalplus.evaluate`` took."""

    verdicts: list[Verdict]
    wall_s: float


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """A file in evalplus' own format."""
    path.write_text("".join(json.dumps(vars(sample)) + "\n" for sample in samples), encoding="utf-8")


def evaluate(
    samples: Sequence[Sample],
    dataset_file: Path,
    *,
    parallel: int,
    hash_seed: int = 0,
    cache: Path | None = None,
) -> EvalplusRun:
    """Run ``evalplus.evaluate``; every task must have a sample (evalplus insists).

    ``hash_seed`` decides the order of sets of strings, on which a few programs depend. ``cache`` keeps evalplus'
    expected outputs; without it they are computed anew, as on a new machine.
    """
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "samples.jsonl")
        write_samples(file, samples)
        settings = {
            "HUMANEVAL_OVERRIDE_PATH": str(dataset_file.resolve()),
            "XDG_CACHE_HOME": str(cache or Path(name, "cache")),
            "PYTHONHASHSEED": str(hash_seed),
        }
        command = [sys.executable, "-m", "evalplus.evaluate", "--dataset", "humaneval"]
        command += ["--samples", str(file), "--parallel", str(parallel)]
        began = time.monotonic()
        done = subprocess.run(
            command, env={**os.environ, **settings}, cwd=name, capture_output=True, text=True, timeout=_LIMIT_S,
            check=False,
        )  # fmt: skip
        wall_s = time.monotonic() - began
        results = file.with_name("samples_eval_results.json")
        if done.returncode or not results.is_file():
            raise RuntimeError(f"evalplus.evaluate ended with {done.returncode}: {done.stderr[-2000:]}")
        by_task = json.loads(results.read_text(encoding="utf-8"))["eval"]
    taken: Counter[str] = Counter()
    verdicts = []
    for sample in samples:
        result = by_task[sample.task_id][taken[sample.task_id]]
        assert result["solution"] == sample.solution
        verdicts.append((result["base_status"], result["plus_status"]))
        taken[sample.task_id] += 1
    return EvalplusRun(verdicts, wall_s)
