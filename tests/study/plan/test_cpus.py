"""Who gets which CPUs."""

from __future__ import annotations

import os

import pytest

from configs.loader import STUDIES, load_study
from configs.schema import Cpus, Study
from starwatt_errors import UsageError
from study.plan.cpus import Placement, place


@pytest.fixture
def demo() -> Study:
    return load_study(STUDIES / "demo.yaml")


def test_split_gives_the_generator_one_cpu_and_the_engine_the_others(demo: Study) -> None:
    usable = os.sched_getaffinity(0)
    placement = place(demo.model_copy(update={"cpus": "split"}))
    if len(usable) == 1:
        assert placement == Placement(None, None)
        return
    assert placement.engine is not None
    assert placement.load is not None
    assert len(placement.load) == 1
    assert set(placement.engine) | set(placement.load) == usable
    assert not set(placement.engine) & set(placement.load)


def test_shared_pins_nothing(demo: Study) -> None:
    assert place(demo.model_copy(update={"cpus": "shared"})) == Placement(None, None)


def test_named_cpus_are_taken_as_they_are(demo: Study) -> None:
    cpu = min(os.sched_getaffinity(0))
    assert place(demo.model_copy(update={"cpus": Cpus(engine=(cpu,))})) == Placement((cpu,), None)


def test_a_cpu_that_is_not_there_is_refused_before_anything_starts(demo: Study) -> None:
    with pytest.raises(UsageError, match=r"cpus\.load: \[4096\]: this process may use the CPUs"):
        place(demo.model_copy(update={"cpus": Cpus(load=(4096,))}))
