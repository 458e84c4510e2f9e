"""Find own prompts whose tests cannot be right: each canonical solution is run once, in the sandbox, beforehand.

What was run is kept with the verdicts, by its content: the same prompts cost this once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.grading import Candidate, grade
from configs.datasets import Dataset, Task
from configs.datasets.own import line_numbers
from starwatt_errors import GradingError
from study.grading import verdict_cache, why_no_sandbox
from study.preflight.problems import StudyProblem
from study.progress.display import Display

_FIELD = ("prompts", "dataset")
_MOST_SHOWN = 5


def unusable_tests(file: Path, dataset: Dataset) -> Iterator[StudyProblem]:
    """Find own prompts whose canonical solution does not run with their entry point and arguments.

    Nothing where there are no tests, or no sandbox: what cannot be graded needs no answers to be compared with.
    """
    if not dataset.has_tests or why_no_sandbox() is not None:
        return
    with Display("own prompts", 1) as display:
        display.status(f"running {len(dataset.tasks)} canonical solutions once")
        if _problem(dataset, dataset.tasks) is None:
            return
        numbers, shown = line_numbers(file), 0
        for task, number in zip(dataset.tasks, numbers, strict=True):
            problem = _problem(dataset, [task])
            if problem is not None:
                yield StudyProblem(
                    _FIELD,
                    f"{file}:{number}: {problem}: mend canonical_solution, entry_point or the arguments",
                )
                shown += 1
            if shown == _MOST_SHOWN:
                return


def _problem(dataset: Dataset, tasks: Sequence[Task]) -> str | None:
    """Say why expected outputs cannot be had; an empty answer is graded against them, which costs next to nothing.

    Raises:
        GradingError: the grader itself cannot work here.
    """
    wanted = [Candidate(request_id=n, task_id=task.task_id, completion="") for n, task in enumerate(tasks)]
    try:
        grade(dataset, wanted, cache_dir=verdict_cache())
    except GradingError as error:
        if not any(task.task_id in str(error) for task in tasks):
            raise
        return str(error)
    return None
