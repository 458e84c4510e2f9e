"""evalplus' own check of one program after the other: ``python -m benchmarks.grading.evalplus_checks``.

``evalplus.evaluate`` hands a task's expected outputs to another process with every program, and those of Mbpp/255 are
a gigabyte. So MBPP+ is asked one layer below: the same ground truth, the same ``untrusted_check``, nothing between.
Samples come in as JSON on stdin (``[task_id, solution]`` each), verdicts go out. evalplus' clock is the wall's: the
argument is the least limit of a call in seconds, so that a busy machine fails nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.grading.evalplus_runs import Sample, Verdict
from configs.datasets import EVALPLUS_FILES

_LIMIT_S = 7200
_DATASET = EVALPLUS_FILES["mbpp+"]


def checked(samples: Sequence[Sample], dataset_file: Path, least_limit_s: float = 20.0) -> list[Verdict]:
    """evalplus' verdicts on base and plus, in the order of the samples, from a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.grading.evalplus_checks", str(least_limit_s)],
        input=json.dumps([(one.task_id, one.solution) for one in samples]),
        env={**os.environ, _DATASET.override: str(dataset_file.resolve())},
        stdout=subprocess.PIPE, text=True, check=True, timeout=_LIMIT_S,
    )  # fmt: skip
    return [(base, plus) for base, plus in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Check what stdin holds."""
    from evalplus.data import get_mbpp_plus

    least_limit_s = float(sys.argv[1])
    problems = get_mbpp_plus()
    verdicts: dict[int, Verdict] = {}
    by_task: dict[str, list[tuple[int, str]]] = {}
    for number, (task_id, solution) in enumerate(json.load(sys.stdin)):
        by_task.setdefault(task_id, []).append((number, solution))
    for task_id, solutions in by_task.items():
        verdicts |= _of_task(problems[task_id], solutions, least_limit_s)
    json.dump([verdicts[number] for number in sorted(verdicts)], sys.stdout)


def _of_task(
    problem: dict[str, Any], solutions: list[tuple[int, str]], least_limit_s: float
) -> dict[int, Verdict]:
    from evalplus.eval import untrusted_check
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    name, program = problem["entry_point"], problem["prompt"] + problem["canonical_solution"]
    phases = []
    for inputs in (problem["base_input"], problem["plus_input"]):
        only = name in MBPP_OUTPUT_NOT_NONE_TASKS
        expected, times = trusted_exec(program, inputs, name, record_time=True, output_not_none=only)
        phases.append((inputs, expected, times))
    verdicts = {}
    for number, solution in solutions:
        base, plus = (
            untrusted_check(
                "mbpp", solution, inputs, name, expected, problem["atol"], times, fast_check=True,
                min_time_limit=least_limit_s,
            )[0]
            for inputs, expected, times in phases
        )  # fmt: skip
        verdicts[number] = (base, plus)
    return verdicts


if __name__ == "__main__":
    main()
