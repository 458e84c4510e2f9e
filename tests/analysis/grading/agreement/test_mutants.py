"""Mutants are wrong in the way that they say, and the same for everybody."""

from __future__ import annotations

import ast
from collections import Counter

from benchmarks.grading.mutants import mutants
from configs.datasets import Dataset, Task, load_dataset

DATASET = load_dataset("starwatt-24")


def test_there_are_five_of_each_task_all_different_and_the_same_every_time() -> None:
    found = mutants(DATASET)
    assert Counter(one.task_id for one in found) == {task.task_id: 5 for task in DATASET.tasks}
    assert len({one.solution for one in found}) == len(found)
    assert mutants(DATASET) == found
    assert mutants(DATASET, seed=21) != found
    originals = {ast.unparse(ast.parse(task.prompt + task.canonical_solution)) for task in DATASET.tasks}
    assert not originals & {ast.unparse(ast.parse(one.solution)) for one in found}


def test_each_kind_changes_what_it_says() -> None:
    task = Task("t/0", "def f(x):\n", "f", "    return x + 1\n", ([1],), ([2],), 0.0)
    by_kind = {one.kind: one for one in mutants(Dataset("own", "0" * 64, (task,)))}
    assert by_kind["operator"].solution.splitlines()[1].strip() in ("return x - 1", "return x * 1")
    assert by_kind["off_by_one"].solution.splitlines()[1].strip() in ("return x + 2", "return x + 0")
    assert by_kind["constant"].solution.splitlines()[1].strip() == f"return {by_kind['constant'].what}"
    assert "_right = f" in by_kind["form"].solution
