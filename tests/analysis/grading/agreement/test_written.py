"""Programs in the styles of chat models are what their style says, and the same for everybody."""

from __future__ import annotations

import ast
from collections import Counter

from benchmarks.grading.written import written
from configs.datasets import Dataset, Task, load_dataset

DATASET = load_dataset("starwatt-24")


def test_there_are_four_of_each_task_and_the_same_every_time() -> None:
    found = written(DATASET)
    assert Counter(one.task_id for one in found) == {task.task_id: 4 for task in DATASET.tasks}
    assert written(DATASET) == found
    assert written(DATASET, seed=18) != found


def test_every_style_is_there_before_one_comes_again() -> None:
    tasks = tuple(task for _ in range(20) for task in DATASET.tasks)
    found = written(Dataset("own", "0" * 64, tasks))
    times = Counter(one.what for one in found)
    assert len(times) >= 190
    assert max(times.values()) - min(times.values()) <= 1


def test_a_style_has_the_names_of_the_task_in_it() -> None:
    prompt = "from typing import List\n\n\ndef f(x: List[int], y):\n"
    task = Task("t/0", prompt, "f", "    return x\n", ([[1], 2],), ([[1], 2],), 0.0)
    found = {one.what: one.solution for one in written(Dataset("own", "0" * 64, (task,) * 50))}
    assert found["imports: no imports"] == "\n\ndef f(x: List[int], y):\n    return x\n\n\n"
    assert "def f(x: int | str | None, y: int | str | None)" in found["annotations: a union"]
    assert ast.parse(found["form: class Solution and a function"])
    assert not [solution for solution in found.values() if "ENTRY" in solution or "EACH(" in solution]
