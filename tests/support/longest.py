"""Which tests take longest, so that they begin first and no worker is left alone with one of them at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence

LONGEST = (
    "tests/chaos/test_chaos.py",
    "tests/docs/test_commands.py",
    "tests/study/executors/test_side_by_side.py",
    "tests/golden/test_live_world.py",
    "tests/study/executors/test_slurm.py",
    "tests/study/measure/test_remote_engine.py",
    "tests/study/test_own_cost.py",
    "tests/study/measure/test_residents.py",
    "tests/study/test_distributed.py",
    "tests/study/measure/test_board_control.py",
    "tests/study/plan/test_prompts.py",
    "tests/study/measure/test_remote_meter.py",
    "tests/browser/test_docs_site.py",
    "tests/deploy/test_images.py",
    "tests/study/rate/test_find_rate.py",
    "tests/study/executors/test_board_slots.py",
    "tests/study/load/test_load.py",
    "tests/browser/test_screenshots.py",
    "tests/server/power/test_prometheus.py",
)
"""Files whose tests take 20 s and more beside others, the longest first; they share no fixture that takes long."""


def dealt(names: Sequence[str], workers: int) -> list[int]:
    """Order tests, by their node ids, so that what ``--dist worksteal`` hands to each worker begins with long ones.

    Returns their numbers. One worker has them as they were.
    """
    numbers = range(len(names))
    if workers == 1:
        return list(numbers)
    longest = sorted(
        (number for number in numbers if _file(names[number]) in LONGEST),
        key=lambda number: LONGEST.index(_file(names[number])),
    )
    others = [number for number in numbers if _file(names[number]) not in LONGEST]
    order: list[int] = []
    for worker in range(workers):
        share = (len(names) - len(order)) // (workers - worker)
        first = longest[worker::workers]
        count = max(share - len(first), 0)
        order += first + others[:count]
        others = others[count:]
    return order + others


def workers_of_this_run() -> int:
    """How many processes share its tests."""
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def _file(name: str) -> str:
    return name.partition("::")[0]
