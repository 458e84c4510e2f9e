"""Mutants are wrong in the way that they say, and the same for everybody."""

from __future__ import annotations

import ast
from collections import Counter

from benchmarks.grading.mutants import mutants
from configs.datasets import Dataset, Task, load_dataset

DATASET = load_dataset("starwatt-24")


def test_there_are_five_of_each_task_all_different_and_the_same_every_time() -> None:
    programs = mutants(DATASET)
    assert Counter(mutant.task_id for mutant in programs) == {task.task_id: 5 for task in DATASET.tasks}
    assert len({mutant.solution for mutant in programs}) == len(programs)
    assert mutants(DATASET) == programs
    assert mutants(DATASET, seed=21) != programs
    originals = {ast.unparse(ast.parse(task.prompt + task.canonical_solution)) for task in DATASET.tasks}
    assert not originals & {ast.unparse(ast.parse(mutant.solution)) for mutant in programs}


def test_each_kind_changes_what_it_says() -> None:
    task = Task("t/0", "def f(x):\n", "f", "    return x + 1\n", ([1],), ([2],), 0.0)
    by_kind = {mutant.kind: mutant for mutant in mutants(Dataset("own", "0" * 64, (task,)))}
    assert by_kind["operator"].solution.splitlines()[1].strip() in ("return x - 1", "return x * 1")
    assert by_kind["off_by_one"].solution.splitlines()[1].strip() in ("return x + 2", "return x + 0")
    assert by_kind["constant"].solution.splitlines()[1].strip() == f"return {by_kind['constant'].what}"
    assert "_right = f" in by_kind["form"].solution
