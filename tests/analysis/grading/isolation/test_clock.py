"""The limit of a call is held from outside, and nobody honest is ever over it by a late look."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from analysis.grading.isolation.cgroup import cpu_s_of_tree
from analysis.grading.isolation.clock import CallClock
from analysis.grading.isolation.sandbox import Job, Sandbox


@dataclass
class Program:
    """What a program has used, and how far it is: as the clock sees it."""

    cpu_s: float = 0.0
    began: bool = False
    done: int = 0
    while_looking: tuple[float, int] | None = None

    def progress(self) -> tuple[bool, int]:
        if self.while_looking is not None:
            self.cpu_s, self.done = self.while_looking
            self.while_looking = None
        return self.began, self.done

    def clock(self, limits_s: tuple[float, ...], total_s: float = 60.0) -> CallClock:
        return CallClock(lambda: self.cpu_s, limits_s, total_s)


def test_a_call_that_goes_on_is_over_its_limit_and_not_before() -> None:
    program = Program()
    clock = program.clock((1.0, 1.0))
    program.began = True
    assert not clock.exceeded(program.progress)
    program.cpu_s = 1.05
    assert not clock.exceeded(program.progress)
    program.cpu_s = 1.3
    assert clock.exceeded(program.progress)


def test_calls_that_ended_before_a_late_look_have_the_time_of_all() -> None:
    program = Program()
    clock = program.clock((1.0, 1.0, 1.0))
    program.began = True
    clock.exceeded(program.progress)
    program.cpu_s, program.done = 1.9, 2
    assert not clock.exceeded(program.progress)
    program.cpu_s = 2.8
    assert not clock.exceeded(program.progress)
    program.cpu_s = 3.2
    assert clock.exceeded(program.progress)


def test_a_call_that_took_too_long_is_found_though_its_result_has_come() -> None:
    program = Program()
    clock = program.clock((1.0, 1.0))
    program.began = True
    clock.exceeded(program.progress)
    program.cpu_s, program.done = 2.5, 2
    assert clock.exceeded(program.progress)


def test_what_is_used_while_somebody_looks_is_not_held_against_the_next_call() -> None:
    program = Program()
    clock = program.clock((1.0, 1.0, 1.0))
    program.began = True
    clock.exceeded(program.progress)
    program.while_looking = (1.8, 2)
    assert not clock.exceeded(program.progress)
    program.cpu_s = 2.7
    assert not clock.exceeded(program.progress)


def test_before_the_first_call_and_after_the_last_there_is_the_limit_of_all_alone() -> None:
    program = Program(cpu_s=100.0)
    clock = program.clock((1.0,), total_s=10.0)
    program.cpu_s = 110.0
    assert not clock.exceeded(program.progress)
    assert clock.next_look_s() > 0
    program.cpu_s = 111.5
    assert clock.exceeded(program.progress)


SLOW = """
import posix, signal, time
def f(x):
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if posix.fork() == 0:
        while True:
            pass
    while True:
        pass
"""


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("in_a_group", [True, False])
def test_processes_together_are_over_the_limit_with_and_without_a_control_group(in_a_group: bool) -> None:
    with Sandbox() as box:
        if not in_a_group:
            box._group = None
        outcome = box.run(Job(SLOW, "f", b"[[1], [2]]", (0.2, 60.0)), lambda _: True)
    assert outcome.why == "cpu"
    assert outcome.cpu_s < 30


SILENT = "def f(x):\n    import posix\n    posix._exit(0)\n"
QUICK = "def f(x):\n    return x\n"


@pytest.mark.usefixtures("sandbox")
def test_a_run_that_ends_by_itself_is_over_no_limit() -> None:
    with Sandbox() as box:
        for code in (SILENT, QUICK):
            outcome = box.run(Job(code, "f", b"[[1], [2]]", (0.2, 0.2)), lambda _: True)
            assert (outcome.why, outcome.signal) == ("ended", 0)


def test_the_time_of_the_dead_is_counted_where_somebody_waited_for_them() -> None:
    before = cpu_s_of_tree(os.getpid())
    child = os.fork()
    if child == 0:
        while sum(os.times()[:2]) < 0.1:
            pass
        os._exit(0)
    os.waitpid(child, 0)
    assert cpu_s_of_tree(os.getpid()) - before >= 0.05
