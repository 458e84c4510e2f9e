"""What a board does not take, or this user may not do, is said before anything is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.board import BoardSetting
from server.power.control.board import ControlError
from server.power.control.check import refusals
from server.power.control.hold import hold_boards
from server.power.control.journal import noted
from starwatt_errors import RunError
from tests.golden.nvml.world import FIXED_CLOCK, FIXED_LIMIT, MIG, NO_PERMISSION, GoldenBoards
from tests.server.power.conftest import A
from tests.server.power.control.conftest import BOTH, as_found

NOTHING = BoardSetting()


def at(limit_w: float | None = None, clock_mhz: int | None = None) -> BoardSetting:
    return BoardSetting(power_limit_w=limit_w, sm_clock_mhz=clock_mhz)


def test_what_every_board_takes_is_taken(boards: GoldenBoards) -> None:
    assert refusals(BOTH, [NOTHING, at(100), at(700), at(clock_mhz=210), at(300, 1980)]) == []
    assert as_found(boards)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (at(99), "takes a power limit of 100 to 700 W (given: 99)"),
        (at(701), "takes a power limit of 100 to 700 W (given: 701)"),
        (at(clock_mhz=209), "takes a clock of 210 to 1980 MHz (given: 209)"),
        (at(clock_mhz=2000), "takes a clock of 210 to 1980 MHz (given: 2000)"),
    ],
)
def test_a_value_beyond_the_boards_own_range_is_refused_with_that_range(
    boards: GoldenBoards, setting: BoardSetting, words: str
) -> None:
    [refusal] = refusals([A], [NOTHING, setting])
    assert (refusal.setting, words in refusal.words) == (1, True)
    assert as_found(boards)


@pytest.mark.parametrize(
    ("flag", "setting", "words"),
    [
        (MIG, at(300), "MIG is on"),
        (FIXED_LIMIT, at(300), "takes no power limit"),
        (FIXED_CLOCK, at(clock_mhz=900), "offers no clock"),
    ],
)
def test_boards_that_cannot_be_set_are_refused_in_words(
    boards: GoldenBoards, flag: int, setting: BoardSetting, words: str
) -> None:
    boards.offer(flag)
    [refusal] = refusals([A], [setting])
    assert words in refusal.words
    assert boards.sets(0) == 0 or flag == FIXED_CLOCK


def test_a_board_without_a_limit_can_be_locked_at_a_clock(boards: GoldenBoards) -> None:
    boards.offer(FIXED_LIMIT)
    assert refusals([A], [NOTHING, at(clock_mhz=900)]) == []


def test_who_may_set_boards_is_said_where_this_user_may_not(boards: GoldenBoards) -> None:
    boards.strike("set", NO_PERMISSION)
    with pytest.raises(ControlError, match=r"root alone may.*SYS_ADMIN"):
        hold_boards([A], Path("runs/x"), [at(300)]).__enter__()
    assert noted() == []


def test_a_limit_above_that_of_a_bmc_is_refused_as_it_would_never_be_shown(boards: GoldenBoards) -> None:
    boards.cap(500.0)
    assert refusals([A], [at(450)]) == []
    [refusal] = refusals([A], [at(600)])
    assert "holds it at 500 W" in refusal.words


def test_a_board_that_another_study_holds_is_not_tried(boards: GoldenBoards) -> None:
    with hold_boards([A], Path("runs/first")), pytest.raises(RunError, match="two studies"):
        refusals([A], [at(300)])
    assert boards.sets(0) == 0
