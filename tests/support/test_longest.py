"""The longest tests begin first, and none is lost on the way."""

from __future__ import annotations

import pytest

from tests.docs.pages import ROOT
from tests.support.longest import LONGEST, dealt

QUICK = [f"tests/test_quick.py::test_{number}" for number in range(11)]
LONG = [f"{file}::test_it" for file in LONGEST[:6]]


def test_files_that_are_listed_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


@pytest.mark.parametrize("workers", [2, 3, 4, 20])
def test_each_workers_share_begins_with_its_long_tests(workers: int) -> None:
    names = [*QUICK, *reversed(LONG)]
    order = [names[number] for number in dealt(names, workers)]
    assert sorted(order) == sorted(names)
    assert [name for name in order if name in QUICK] == QUICK
    first = 0
    for worker in range(min(workers, len(LONG))):
        share = (len(order) - first) // (workers - worker)
        mine = LONG[worker::workers]
        assert order[first : first + len(mine)] == mine
        first += max(share, len(mine))


def test_one_worker_has_them_as_they_were() -> None:
    assert dealt([*QUICK, *LONG], 1) == list(range(17))
