"""Our grader beside ``evalplus.evaluate`` on the same samples, ten for each task of HumanEval+, on two cores.

Two of the ten are right (as they come from the data set, and as Python writes them), eight are mutants: together about
as many pass as of StarCoder2's own answers.
Each grader runs twice from its own command line: with nothing kept from before, and with the expected outputs kept.
Then ours runs once more, with its verdicts kept.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.grading.evalplus_runs import Sample, evaluate, write_samples
from benchmarks.grading.mutants import SEED, mutants
from configs.datasets import Dataset, load_dataset

_EACH = 10
_SEEDS = 5  # five mutants of each; some are the same
_WORKERS = 2
_LIMIT_S = 3600
_OUTPUT_ROWS = 3 * 164  # three a task, made before the first verdict


@dataclass(frozen=True)
class Timing:
    """One run of one grader."""

    grader: str
    state: str
    wall_s: float
    passed_base: int
    passed_plus: int


def ten_each(dataset: Dataset) -> list[Sample]:
    """The samples, in the order of the tasks; no two are the same."""
    wrong: dict[str, list[str]] = {task.task_id: [] for task in dataset.tasks}
    for seed in range(SEED, SEED + _SEEDS):
        for mutant in mutants(dataset, seed):
            wrong[mutant.task_id].append(mutant.solution)
    samples = []
    for task in dataset.tasks:
        right = task.prompt + task.canonical_solution
        solutions = [right, ast.unparse(ast.parse(right)), *wrong[task.task_id]]
        different = list(dict.fromkeys(solutions))[:_EACH]
        assert len(different) == _EACH
        samples += [Sample(task.task_id, solution) for solution in different]
    return samples


def time_ours(samples: Path, cache: Path, state: str) -> Timing:
    """``starwatt grade --samples``, with its caches below a folder."""
    command = [sys.executable, "-c", "from study.cli.app import main; main()"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "grade", "--samples", str(samples), "--json"],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)}, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    wall_s = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"starwatt grade ended with {done.returncode}: {done.stderr[-2000:]}")
    grades = json.loads(done.stdout)["grades"]
    base, plus = (sum(grade[kind] for grade in grades) for kind in ("base", "plus"))
    return Timing("starwatt", state, wall_s, base, plus)


def time_evalplus(samples: list[Sample], dataset_file: Path, cache: Path, state: str) -> Timing:
    """``evalplus.evaluate`` with as many processes as we have workers."""
    run = evaluate(samples, dataset_file, parallel=_WORKERS, cache=cache)
    base = sum(first == "pass" for first, _ in run.verdicts)
    plus = sum(verdict == ("pass", "pass") for verdict in run.verdicts)
    return Timing("evalplus", state, run.wall_s, base, plus)


def measure(dataset_file: Path, folder: Path) -> list[Timing]:
    """The five runs, one after the other."""
    os.environ["HUMANEVAL_OVERRIDE_PATH"] = str(dataset_file)
    samples = ten_each(load_dataset("humaneval+"))
    file = folder / "samples.jsonl"
    write_samples(file, samples)
    timings = []
    for state in ("nothing kept", "expected outputs kept"):
        timings.append(time_evalplus(samples, dataset_file, folder / "evalplus", state))
        _show(timings[-1])
        if state != "nothing kept":
            _forget_verdicts(folder / "ours")
        timings.append(time_ours(file, folder / "ours", state))
        _show(timings[-1])
    timings.append(time_ours(file, folder / "ours", "verdicts kept"))
    _show(timings[-1])
    return timings


def _forget_verdicts(cache: Path) -> None:
    """Leave the expected outputs."""
    for file in cache.rglob("grading.sqlite"):
        with sqlite3.connect(file) as database:
            database.execute(
                "DELETE FROM kept WHERE rowid > "
                "(SELECT max(rowid) FROM (SELECT rowid FROM kept ORDER BY rowid LIMIT ?))",
                (_OUTPUT_ROWS,),
            )


def _show(timing: Timing) -> None:
    print(
        f"{timing.grader:9} {timing.state:22} {timing.wall_s:7.1f} s   "
        f"passed base {timing.passed_base}, plus {timing.passed_plus}",
        flush=True,
    )


def _downloaded() -> Path:
    """Where evalplus keeps the data set; it fetches it where that is the first time."""
    from evalplus.data.humaneval import _ready_human_eval_plus_path

    load_dataset("humaneval+")
    return Path(_ready_human_eval_plus_path())


def main() -> int:
    """Print the five runs and the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grading", description=__doc__)
    parser.add_argument("--dataset-file", type=Path, default=os.environ.get("HUMANEVAL_OVERRIDE_PATH"))
    file = parser.parse_args().dataset_file or _downloaded()
    if not Path(file).is_file():
        parser.error(f"{file} is no file: --dataset-file takes a HumanEvalPlus.jsonl.gz")
    print(
        f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {_WORKERS} workers"
    )
    folder = Path(tempfile.mkdtemp(prefix="starwatt-bench-"))
    try:
        timings = {(one.grader, one.state): one.wall_s for one in measure(Path(file).resolve(), folder)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for state in ("nothing kept", "expected outputs kept"):
        print(f"{state}: {timings['evalplus', state] / timings['starwatt', state]:.1f} times faster")
    print(f"verdicts kept: {timings['starwatt', 'verdicts kept']:.1f} s")
    return 0
