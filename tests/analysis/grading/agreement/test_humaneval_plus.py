"""The canonical solutions of HumanEval+ pass, and broken ones do not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from analysis.grading import Candidate, grade
from configs.datasets import Dataset, Task
from tests.analysis.grading.conftest import HEAVY

SEED = 20
pytestmark = pytest.mark.usefixtures("sandbox")


def check(dataset: Dataset, tasks: list[Task], cache: Path) -> None:
    """A canonical solution passes; one that returns nothing fails."""
    right = [Candidate(n, task.task_id, "\n" + task.canonical_solution) for n, task in enumerate(tasks)]
    wrong = [Candidate(n, task.task_id, "\n    return None") for n, task in enumerate(tasks)]
    grades = grade(dataset, [*right, *wrong], cache_dir=cache)
    assert [result.task_id for result in grades[: len(tasks)] if not result.plus] == []
    assert [result.task_id for result in grades[len(tasks) :] if result.base or result.plus] == []


def test_a_seeded_forty_of_the_canonical_solutions_pass(humaneval: Dataset, answers_cache: Path) -> None:
    light = [task for task in humaneval.tasks if task.task_id not in HEAVY]
    check(humaneval, random.Random(SEED).sample(light, 40), answers_cache)  # noqa: S311


@pytest.mark.long
def test_all_164_canonical_solutions_pass(humaneval: Dataset, answers_cache: Path) -> None:
    check(humaneval, list(humaneval.tasks), answers_cache)
