"""The canonical solutions of HumanEval+ pass, and broken ones do not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from analysis.grading import Candidate, grade
from configs.datasets import Dataset, load_dataset

HUMANEVAL_PLUS = Path(__file__).parents[4] / "shared" / "data" / "HumanEvalPlus.jsonl.gz"
SEED = 20

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.skipif(not HUMANEVAL_PLUS.is_file(), reason="HumanEvalPlus.jsonl.gz is not here"),
]


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(HUMANEVAL_PLUS))
    return load_dataset("humaneval+")


def check(dataset: Dataset, numbers: list[int]) -> None:
    """A canonical solution passes; one that returns nothing fails."""
    tasks = [dataset.tasks[number] for number in numbers]
    right = [Candidate(n, task.task_id, "\n" + task.canonical_solution) for n, task in enumerate(tasks)]
    wrong = [Candidate(n, task.task_id, "\n    return None") for n, task in enumerate(tasks)]
    grades = grade(dataset, [*right, *wrong])
    assert [result.task_id for result in grades[: len(tasks)] if not result.plus] == []
    assert [result.task_id for result in grades[len(tasks) :] if result.base or result.plus] == []


def test_a_seeded_forty_of_the_canonical_solutions_pass(dataset: Dataset) -> None:
    heavy = {15, 130, 139}  # half of the time of all 164 together
    numbers = sorted(set(range(164)) - heavy)
    check(dataset, random.Random(SEED).sample(numbers, 40))  # noqa: S311


@pytest.mark.long
def test_all_164_canonical_solutions_pass(dataset: Dataset) -> None:
    check(dataset, list(range(164)))
