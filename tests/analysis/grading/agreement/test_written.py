"""Programs in the styles of chat models are what their style says, and the same for everybody."""

from __future__ import annotations

import ast
from collections import Counter

from benchmarks.grading.written import written
from configs.datasets import Dataset, Task, load_dataset

DATASET = load_dataset("starwatt-24")


def test_there_are_four_of_each_task_and_the_same_every_time() -> None:
    candidates = written(DATASET)
    assert Counter(candidate.task_id for candidate in candidates) == {
        task.task_id: 4 for task in DATASET.tasks
    }
    assert written(DATASET) == candidates
    assert written(DATASET, seed=18) != candidates


def test_every_style_is_there_before_one_comes_again() -> None:
    tasks = tuple(task for _ in range(20) for task in DATASET.tasks)
    candidates = written(Dataset("own", "0" * 64, tasks))
    times = Counter(candidate.what for candidate in candidates)
    assert len(times) >= 190
    assert max(times.values()) - min(times.values()) <= 1


def test_a_style_has_the_names_of_the_task_in_it() -> None:
    prompt = "from typing import List\n\n\ndef f(x: List[int], y):\n"
    task = Task("t/0", prompt, "f", "    return x\n", ([[1], 2],), ([[1], 2],), 0.0)
    solutions = {
        candidate.what: candidate.solution for candidate in written(Dataset("own", "0" * 64, (task,) * 50))
    }
    assert solutions["imports: no imports"] == "\n\ndef f(x: List[int], y):\n    return x\n\n\n"
    assert "def f(x: int | str | None, y: int | str | None)" in solutions["annotations: a union"]
    assert ast.parse(solutions["form: class Solution and a function"])
    assert not [solution for solution in solutions.values() if "ENTRY" in solution or "EACH(" in solution]
