"""Boards are as they were found whatever kills the process that set them, and whenever."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from server.power.control.journal import noted
from server.power.control.put_back import left_behind, put_back_left
from tests.golden.nvml.world import GoldenBoards
from tests.server.power.control.conftest import as_found

SETTER = """
import itertools, random, sys
from pathlib import Path
from configs.board import BoardSetting
from server.power.control.hold import hold_boards
from server.process.guard import GUARD
from study import interrupts
from tests.server.power.control.conftest import BOTH

interrupts.install()
rng = random.Random(int(sys.argv[1]))
limits, clocks = (None, 400.0, 250.0, 120.0), (None, 1200, 900)
settings = [BoardSetting(power_limit_w=limit, sm_clock_mhz=clock) for limit in limits for clock in clocks]
with hold_boards(BOTH, Path("runs/chaos")) as held:
    held.hold(settings[-1])
    told = None
    while True:
        with GUARD._lock:  # so that it knows by now what to do
            reaper = GUARD.pid
        if reaper != told:
            told = reaper
            print(told, flush=True)
        held.hold(rng.choice(settings))
"""
BLOWS = ("int", "term", "kill", "kill", "both")
_SIGNALS = {"int": signal.SIGINT, "term": signal.SIGTERM, "kill": signal.SIGKILL}
PATIENCE_S = 120.0


class Setter:
    """A process that sets both boards again and again."""

    def __init__(self, seed: int) -> None:
        command = [sys.executable, "-c", SETTER, str(seed)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.meet_the_reaper()

    def meet_the_reaper(self) -> None:
        """Wait until it says which one it is."""
        assert self.process.stdout is not None
        self.reaper = psutil.Process(int(self.process.stdout.readline()))

    def struck(self, blow: str) -> None:
        """Strike it, and wait until it and its reaper have ended."""
        if blow == "both":
            for pid in (self.reaper.pid, self.process.pid):
                os.kill(pid, signal.SIGKILL)
        else:
            self.process.send_signal(_SIGNALS[blow])
        self.process.wait(timeout=PATIENCE_S)
        psutil.wait_procs([self.reaper], timeout=PATIENCE_S)
        assert not self.reaper.is_running()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def setting(boards: GoldenBoards) -> Iterator[GoldenBoards]:
    """The boards, which the test's processes set."""
    yield boards
    put_back_left()


def blows(boards: GoldenBoards, count: int, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 -- no secret
    for number in range(count):
        setter = Setter(seed + number)
        time.sleep(rng.uniform(0, 0.05))
        blow = rng.choice(BLOWS)
        setter.struck(blow)
        if blow == "both":  # nobody was left to do it: the next command does
            assert {back.done for back in put_back_left()} <= {True}
        assert as_found(boards), (number, blow)
        assert noted() == []


@pytest.mark.timeout(600)
def test_boards_are_as_they_were_after_each_of_ten_blows(setting: GoldenBoards) -> None:
    blows(setting, 10, seed=3)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_boards_are_as_they_were_after_each_of_a_hundred_blows(setting: GoldenBoards) -> None:
    blows(setting, 100, seed=100)


def test_what_nobody_could_put_back_is_found_with_what_it_was(setting: GoldenBoards) -> None:
    Setter(1).struck("both")
    assert [held.limit_w for held in left_behind()] == [700.0, 700.0]
    assert all("runs/chaos" in held.words for held in left_behind())


def test_a_killed_one_whose_reaper_may_not_set_boards_leaves_them_for_somebody_who_may(
    setting: GoldenBoards,
) -> None:
    setter = Setter(2)
    setting.strike("set", 4)
    setter.struck("kill")
    assert len(left_behind()) == 2
    setting.mend()
    assert [back.done for back in put_back_left()] == [True, True]
    assert as_found(setting)


def test_settings_are_put_back_though_a_first_reaper_was_killed(setting: GoldenBoards) -> None:
    setter = Setter(5)
    time.sleep(1.2)  # one that ends within a second is taken for one that cannot run here
    setter.reaper.kill()
    setter.meet_the_reaper()
    setter.struck("kill")
    assert as_found(setting)
