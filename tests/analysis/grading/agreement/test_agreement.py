"""Verdicts are evalplus' own, on a quiet machine and on a busy one."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import platform
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.grading import Limits
from analysis.grading.grader import Program, judge_programs
from benchmarks.grading.agreement import (
    FIND_ZERO,
    MUTANTS,
    WRITTEN,
    Compared,
    differences,
    digest,
    recorded_verdicts,
)
from benchmarks.grading.evalplus_runs import Sample
from configs.datasets import Dataset, Task, load_dataset
from tests.analysis.grading.conftest import HEAVY

SEED = 20
BUNDLED = load_dataset("starwatt-24")


def compared(dataset: Dataset, them: Compared = MUTANTS) -> list[tuple[str, Sample]]:
    """Everything on which evalplus' verdict is known."""
    known = recorded_verdicts(dataset, them)
    return [program for program in them.programs(dataset) if digest(program[1]) in known]


def some(dataset: Dataset, count: int, them: Compared = MUTANTS) -> list[tuple[str, Sample]]:
    """A seeded choice that leaves out the tasks that take long."""
    light = [program for program in compared(dataset, them) if program[1].task_id not in HEAVY]
    return random.Random(SEED).sample(light, count)  # noqa: S311


def test_evalplus_agreed_with_itself_on_at_least_492_mutants_and_passed_the_canonical_solutions(
    humaneval: Dataset,
) -> None:
    known = recorded_verdicts(humaneval)
    samples = compared(humaneval)
    assert len([what for what, _ in samples if what != "canonical"]) >= 492
    right = [known[digest(sample)] for what, sample in samples if what == "canonical"]
    assert right == [("pass", "pass")] * 164
    assert set(known.values()) == {("pass", "pass"), ("pass", "fail"), ("fail", "fail")}


def test_what_evalplus_reports_for_find_zero_is_kept_beside_what_its_check_says() -> None:
    """It fails every solution of that task; if a newer one does not, docs/decisions/0016 has had its day."""
    record = json.loads(MUTANTS.file.read_text())
    assert record["evalplus"] == "0.3.1"
    assert record["find_zero_as_reported"] == [["fail", "fail"]]


@pytest.mark.usefixtures("sandbox")
def test_sixty_programs_get_the_verdict_that_evalplus_gave(humaneval: Dataset, answers_cache: Path) -> None:
    samples = some(humaneval, 60)
    samples += [program for program in compared(humaneval) if program[1].task_id == FIND_ZERO]
    assert differences(humaneval, samples, recorded_verdicts(humaneval), answers_cache) == []


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(1200)
def test_every_canonical_solution_and_every_mutant_gets_the_verdict_that_evalplus_gave(
    humaneval: Dataset, answers_cache: Path
) -> None:
    samples = compared(humaneval)
    assert differences(humaneval, samples, recorded_verdicts(humaneval), answers_cache) == []


@pytest.fixture
def same_python() -> None:
    """Grammar and depth of the stack are those of the Python that evalplus' verdicts were recorded on."""
    recorded = json.loads(WRITTEN.file.read_text())["python"]
    if platform.python_version_tuple()[:2] != tuple(recorded.split(".")[:2]):
        pytest.skip(f"evalplus' verdicts were recorded on Python {recorded}")


def test_evalplus_agreed_with_itself_on_at_least_500_programs_as_chat_models_write_them(
    humaneval: Dataset,
) -> None:
    known = recorded_verdicts(humaneval, WRITTEN)
    samples = compared(humaneval, WRITTEN)
    assert len(samples) >= 500
    assert len({what for what, _ in samples}) >= 180
    passed = [known[digest(sample)] == ("pass", "pass") for _, sample in samples]
    assert 0.4 < sum(passed) / len(passed) < 0.8


@pytest.mark.usefixtures("sandbox", "same_python")
def test_sixty_programs_as_chat_models_write_them_get_the_verdict_that_evalplus_gave(
    humaneval: Dataset, answers_cache: Path
) -> None:
    samples = some(humaneval, 60, WRITTEN)
    assert differences(humaneval, samples, recorded_verdicts(humaneval, WRITTEN), answers_cache) == []


@pytest.mark.long
@pytest.mark.usefixtures("sandbox", "same_python")
@pytest.mark.timeout(1200)
def test_every_program_as_chat_models_write_them_gets_the_verdict_that_evalplus_gave(
    humaneval: Dataset, answers_cache: Path
) -> None:
    samples = compared(humaneval, WRITTEN)
    assert differences(humaneval, samples, recorded_verdicts(humaneval, WRITTEN), answers_cache) == []


@contextlib.contextmanager
def busy(for_each_cpu: int) -> Iterator[None]:
    """Other processes that want every CPU all the time."""
    spawn = multiprocessing.get_context("spawn")
    burners = [spawn.Process(target=burn, daemon=True) for _ in range(for_each_cpu * (os.cpu_count() or 1))]
    for burner in burners:
        burner.start()
    try:
        yield
        assert all(burner.is_alive() for burner in burners)
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.join()


def burn() -> None:
    while True:
        pass


def verdicts(
    dataset: Dataset, samples: list[tuple[str, Sample]], cache: Path, repeat: int
) -> list[tuple[bool, bool]]:
    """Graded anew: limits are part of what a kept verdict goes by, and these differ by nothing that matters."""
    wanted = [Program(one.task_id, one.solution) for _, one in samples]
    judged = judge_programs(dataset, wanted, cache_dir=cache, limits=Limits(wall_factor=10 + repeat / 1e6))
    return [(verdict.base, verdict.plus) for verdict in judged]


def check_under_load(dataset: Dataset, count: int, cache: Path, repeats: range) -> None:
    samples, known = some(dataset, count), recorded_verdicts(dataset)
    theirs = [known[digest(sample)] for _, sample in samples]
    expected = [(base == "pass", (base, plus) == ("pass", "pass")) for base, plus in theirs]
    for repeat in repeats:
        assert verdicts(dataset, samples, cache, repeat) == expected


@pytest.mark.usefixtures("sandbox")
def test_verdicts_are_the_same_on_a_busy_machine(humaneval: Dataset, answers_cache: Path) -> None:
    with busy(1):
        check_under_load(humaneval, 40, answers_cache, range(1, 3))


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(3600)
def test_verdicts_are_the_same_twenty_times_on_a_busy_machine(
    humaneval: Dataset, answers_cache: Path
) -> None:
    with busy(2):
        check_under_load(humaneval, 400, answers_cache, range(1, 21))


def spinning(cpu_s: float) -> str:
    return (
        f"import time\ndef f(x):\n    end = time.process_time() + {cpu_s}\n"
        "    while time.process_time() < end:\n        pass\n    return x\n"
    )


@pytest.mark.usefixtures("sandbox")
def test_the_limit_of_a_second_is_one_of_cpu_time() -> None:
    """0.6 s of work take more than 1 s where two want every CPU; evalplus' clock would end it."""
    task = Task("t/0", "def f(x):\n", "f", "    return x\n", ([1],), ([2],), 0.0)
    dataset = Dataset("own", "3" * 64, (task,))
    programs_for_it = [Program("t/0", spinning(0.6)), Program("t/0", spinning(1e9))]
    with busy(1):
        right, endless = judge_programs(dataset, programs_for_it, workers=1)
    assert (right.base, right.plus) == (True, True), right.detail
    assert (endless.base, endless.reason, endless.retried) == (False, "timeout", True)
