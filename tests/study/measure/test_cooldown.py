"""Boards are as cool before an engine start as before the others, or the cell says that they were not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

from configs.meters import Meters
from configs.phases import Cooldown
from study.measure.cooldown import Clock, States, cool_down, coolest, wait_until_cool
from tests.golden.nvml.world import GoldenBoards
from tests.server.power.conftest import A, B, nvml, nvml_library  # noqa: F401 -- fixtures
from tests.support.busy import PATIENCE_S
from traces.cell import BoardState, CoolStart
from traces.layout import RunDir

WANTED = Cooldown(within_c=3, within_w=10, timeout_s=60)
NVML = Meters(sources=("nvml",))
KNOWN = {A: BoardState(temperature_c=40, power_w=70)}


class Cooling:
    """A board that shows one state after the other, a second each."""

    def __init__(self, *states: tuple[float | None, float | None]) -> None:
        shown = (BoardState(temperature_c=degrees, power_w=watts) for degrees, watts in states)
        last = BoardState(temperature_c=states[-1][0], power_w=states[-1][1])
        self._shown: Iterator[BoardState] = chain(shown, repeat(last))
        self.now_s = 0.0
        self.clock = Clock(lambda: self.now_s, self._sleep)

    def read(self) -> States:
        return {A: next(self._shown)}

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_it_waits_for_temperature_and_for_power_and_says_what_it_waits_for() -> None:
    cooling, said = Cooling((60, 90), (45, 90), (43, 90), (43, 80)), list[str]()
    start = wait_until_cool(cooling.read, KNOWN, WANTED, said.append, cooling.clock)
    assert (start.cooled, start.waited_s) == (True, 3.0)
    assert start.boards[A] == BoardState(temperature_c=43, power_w=80)
    assert said == [
        "cooling down: 60 °C, wanted 43", "cooling down: 45 °C, wanted 43", "cooling down: 90 W, wanted 80",
    ]  # fmt: skip


def test_a_board_that_stays_hot_is_measured_all_the_same_after_the_timeout() -> None:
    cooling = Cooling((60, 70))
    start = wait_until_cool(cooling.read, KNOWN, WANTED, lambda _: None, cooling.clock)
    assert (start.cooled, start.waited_s) == (False, 60.0)


def test_what_a_board_does_not_say_is_not_waited_for_nor_is_one_that_is_seen_first() -> None:
    for known, shown in ((KNOWN, (None, 75)), ({A: BoardState()}, (90, 400)), ({}, (90, 400))):
        cooling = Cooling(shown)
        start = wait_until_cool(cooling.read, known, WANTED, lambda _: None, cooling.clock)
        assert (start.cooled, start.waited_s) == (True, 0.0)


SEVERAL_STARTS = """
import os, sys
from pathlib import Path
from tests.golden.nvml.world import GoldenBoards
from tests.study.measure.test_cooldown import NVML, WANTED
from study.measure.cooldown import cool_down
from traces.layout import RunDir

boards = GoldenBoards.of_others(Path(os.environ["GOLDEN_NVML"]))
for degrees in map(float, sys.argv[2:]):
    boards.heat(degrees)
    start = cool_down(RunDir(Path(sys.argv[1])), NVML, WANTED.model_copy(update={"timeout_s": 0.0}), lambda _: None)
    print(start.model_dump_json(), flush=True)
"""


def test_the_coolest_that_boards_were_is_kept_with_the_run(tmp_path: Path, nvml: GoldenBoards) -> None:  # noqa: F811
    run = RunDir(tmp_path / "run")
    run.root.mkdir()
    command = [sys.executable, "-c", SEVERAL_STARTS, str(run.root), "50", "41", "60", "43"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
    starts = [CoolStart.model_validate_json(line) for line in said.splitlines()]
    assert [start.cooled for start in starts] == [True, True, False, True]
    assert [start.boards[A].temperature_c for start in starts] == [50, 41, 60, 43]
    assert starts[0].boards[B].temperature_c is None  # it offers none
    assert coolest(run)[A].temperature_c == 41
    [kept] = run.cooldown.iterdir()
    kept.write_text('{"boot_id": "another", "coolest": {}}')
    assert coolest(run) == {}


def test_without_a_gpu_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    assert cool_down(RunDir(tmp_path), Meters(sources=("modelled",)), WANTED, lambda _: None) is None
