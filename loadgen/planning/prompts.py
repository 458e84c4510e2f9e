"""Decide which task is asked when: subsets and orders drawn from (seed, block, load), never from the variant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

import numpy as np

from configs.datasets import Dataset, Task

_Asked = TypeVar("_Asked")


def seeded(*parts: object) -> np.random.Generator:
    """Return the one generator for a purpose, from the parts that may decide it (seed, block, load, ...)."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def choose_tasks(dataset: Dataset, tasks: Literal["all"] | int, seed: int) -> list[Task]:
    """Choose all tasks in the dataset's order, or a subset that depends on the seed alone."""
    if tasks == "all" or tasks >= len(dataset.tasks):
        return list(dataset.tasks)
    chosen = seeded(seed, "subset").choice(len(dataset.tasks), size=tasks, replace=False)
    return [dataset.tasks[index] for index in sorted(chosen)]


def passes(
    tasks: Sequence[_Asked], seed: int, block: int, load: str, role: str
) -> Iterator[tuple[int, _Asked]]:
    """Yield (pass number, task), pass after pass without end, each in an order drawn from all that is given."""
    order = seeded(seed, block, load, role)
    number = 0
    while True:
        for index in order.permutation(len(tasks)):
            yield number, tasks[index]
        number += 1
