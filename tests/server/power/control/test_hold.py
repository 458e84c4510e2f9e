"""Boards are held at what a study asks, every one of an engine, and are as they were found when it has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.board import BoardSetting
from server.power.control import hold
from server.power.control.board import ControlError, NotAllowedError, NotOfferedError
from server.power.control.hold import hold_boards
from server.power.control.journal import note, noted, path_of, read
from server.power.control.put_back import left_behind, put_back_left
from server.power.nvidia.library import NvmlError
from starwatt_errors import RunError, TraceError
from tests.golden.nvml.world import LOST, NO_PERMISSION, REFUSES_LOCKS, UNKNOWN, GoldenBoards
from tests.server.power.conftest import A, B
from tests.server.power.control.conftest import BOTH, as_found

LIMIT, CLOCK = BoardSetting(power_limit_w=250), BoardSetting(sm_clock_mhz=1201)
RUN = Path("runs/x")


def test_every_board_of_the_engine_is_set_and_what_it_shows_is_recorded(boards: GoldenBoards) -> None:
    with hold_boards(BOTH, RUN) as held:
        record = held.hold(LIMIT)
        assert [boards.limit_of(number) for number in (0, 1)] == [(250.0, 0)] * 2
        shown = record.boards[B]
        assert (record.setting, record.power_limit_w, set(record.boards)) == ("250w", 250.0, {A, B})
        assert (shown.found_w, shown.least_w, shown.most_w, shown.power_limit_w) == (
            700.0,
            100.0,
            700.0,
            250.0,
        )
    assert as_found(boards)
    assert noted() == []


def test_a_clock_is_locked_at_the_nearest_that_the_board_offers_and_the_limit_is_the_found_one_again(
    boards: GoldenBoards,
) -> None:
    with hold_boards([A], RUN) as held:
        held.hold(LIMIT)
        record = held.hold(CLOCK)
        assert boards.limit_of(0) == (700.0, 1200)
        assert (record.boards[A].locked_mhz, record.boards[A].sm_clock_mhz) == (1200, 1200.0)
        held.hold(LIMIT)
        assert boards.limit_of(0) == (250.0, 0)
        assert boards.limit_of(1) == (700.0, 0)
    assert as_found(boards)


def test_it_settles_after_a_change_and_only_then(boards: GoldenBoards) -> None:
    with hold_boards([A], RUN) as held:
        first, again = (held.hold(LIMIT, settle_s=0.2).waited_s for _ in range(2))
    assert first >= 0.2
    assert again < first
    assert as_found(boards)


def test_a_study_that_asks_for_nothing_sets_nothing(boards: GoldenBoards) -> None:
    with hold_boards(BOTH, RUN) as held:
        record = held.hold(BoardSetting())
    assert (record.setting, boards.sets(0), boards.sets(1)) == ("as-found", 0, 0)


def test_it_waits_until_the_board_shows_it(boards: GoldenBoards) -> None:
    boards.answer_late(0.3, board=0)
    with hold_boards([A], RUN) as held:
        record = held.hold(LIMIT)
        again = held.hold(BoardSetting())
    assert record.boards[A].power_limit_w == 250.0
    assert again.boards[A].power_limit_w == 700.0
    assert min(record.waited_s, again.waited_s) >= 0.3


def test_a_limit_of_a_bmc_that_a_study_asks_for_too_is_as_found(boards: GoldenBoards) -> None:
    boards.cap(500.0)
    with hold_boards([A], RUN) as held:
        held.hold(BoardSetting(power_limit_w=500))
        record = held.hold(BoardSetting())
    assert (record.boards[A].managed_w, record.boards[A].power_limit_w) == (700.0, 500.0)
    boards.cap(0.0)
    assert as_found(boards)


def test_a_board_that_never_shows_it_is_an_error_that_says_what_it_shows(
    boards: GoldenBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "SHOWN_S", 0.1)
    boards.cap(300.0)
    never = pytest.raises(ControlError, match=r"does not show 400w .* 300.0 W .*400.0 W asked for")
    with hold_boards([A], RUN) as held, never:
        held.hold(BoardSetting(power_limit_w=400))
    boards.cap(0.0)
    assert as_found(boards)


def test_what_a_board_was_is_on_the_disk_before_anything_is_set(boards: GoldenBoards) -> None:
    boards.strike("set", NO_PERMISSION, after_calls=2)
    with hold_boards([A], RUN) as held:
        before = json.loads(path_of(A).read_text())
        assert (before["limit_w"], before["set_w"], before["locked"]) == (700.0, [], False)
        held.hold(LIMIT)
        with pytest.raises(NotAllowedError):
            held.hold(CLOCK)
        assert json.loads(path_of(A).read_text())["locked"] is True  # it was about to be
        boards.mend()
    assert as_found(boards)


def test_without_a_place_for_what_boards_were_nothing_is_set(
    boards: GoldenBoards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(TraceError, match="XDG_STATE_HOME"), hold_boards([A], RUN):
        pass
    assert boards.sets(0) == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_they_are_put_back_whatever_ends_the_block(boards: GoldenBoards, error: type[BaseException]) -> None:
    with pytest.raises(error):
        _ended_by(error)
    assert as_found(boards)
    assert noted() == []


def test_an_error_of_the_study_is_not_told_as_one_of_the_folder_of_boards(boards: GoldenBoards) -> None:
    with pytest.raises(BrokenPipeError, match="of the study"), hold_boards(BOTH, RUN):
        raise BrokenPipeError("of the study")
    assert as_found(boards)


def test_a_second_study_on_one_of_them_is_refused_and_the_first_goes_on(boards: GoldenBoards) -> None:
    with hold_boards([A], RUN) as held:
        held.hold(LIMIT)
        with (
            pytest.raises(RunError, match=r"is set by the study of .*runs/x.*two studies"),
            hold_boards(BOTH, RUN),
        ):
            pass
        assert boards.limit_of(0) == (250.0, 0)
        with hold_boards([B], RUN):
            pass
    assert as_found(boards)


def test_one_that_cannot_be_put_back_keeps_no_other_from_it_and_is_put_back_later(
    boards: GoldenBoards,
) -> None:
    with pytest.raises(NotAllowedError, match=r"root alone .*SYS_ADMIN"):
        _ended_without_the_right(boards)
    assert [boards.limit_of(number)[0] for number in (0, 1)] == [250.0, 700.0]
    [left] = left_behind()
    assert (left.uuid, left.limit_w, left.set_w) == (A, 700.0, (250.0,))
    [told] = put_back_left()
    assert not told.done
    assert "sudo" in told.words
    boards.mend()
    [told] = put_back_left()
    assert told.done
    assert as_found(boards)
    assert noted() == []


def test_calls_that_fail_now_and_then_lose_no_limit(boards: GoldenBoards) -> None:
    boards.strike("limit", UNKNOWN, until_calls=2)
    with hold_boards([A], RUN) as held:
        held.hold(LIMIT)
        boards.strike("limit", UNKNOWN, until_calls=2)
    assert as_found(boards)
    assert noted() == []


def test_a_board_that_does_not_answer_is_not_forgotten_and_keeps_no_other_from_being_put_back(
    boards: GoldenBoards,
) -> None:
    with pytest.raises(NvmlError, match="lost"):
        _ended_as_one_is_lost(boards)
    assert [boards.limit_of(number)[0] for number in (0, 1)] == [250.0, 700.0]
    boards.mend()
    assert noted() == [A]
    [told] = put_back_left()
    assert told.done
    assert as_found(boards)


def test_a_limit_that_somebody_else_has_set_since_is_left_and_told(boards: GoldenBoards) -> None:
    with hold_boards([A], RUN) as held:
        held.hold(LIMIT)
        kept = read(A)
        assert kept is not None
        boards.set_limit(500.0)
    assert boards.limit_of(0) == (500.0, 0)
    note(kept)
    [told] = put_back_left()
    assert told.done
    assert "500 W, which starwatt has not set" in told.words
    assert boards.limit_of(0) == (500.0, 0)


def test_after_a_restart_of_the_machine_nothing_is_set(boards: GoldenBoards) -> None:
    with hold_boards([A], RUN) as held:
        held.hold(BoardSetting(power_limit_w=250, sm_clock_mhz=900))
        before = read(A)
    assert before is not None
    note(before.model_copy(update={"boot_id": "another", "limit_w": 600.0}))
    sets = boards.sets(0)
    [told] = put_back_left()
    assert "restarted" in told.words
    assert noted() == []
    assert boards.sets(0) == sets


def test_boards_of_another_machine_are_left_alone(boards: GoldenBoards) -> None:
    with hold_boards([A], RUN):
        before = read(A)
    assert before is not None
    note(before.model_copy(update={"uuid": "GPU-elsewhere", "boot_id": "another"}))
    assert put_back_left() == []
    assert noted() == ["GPU-elsewhere"]


def test_a_note_that_cannot_be_read_says_how_to_put_the_board_back_by_hand(boards: GoldenBoards) -> None:
    path_of(A).parent.mkdir(parents=True)
    path_of(A).write_text("{}")
    with pytest.raises(ControlError, match=rf"nvidia-smi -i {A} -pl WATTS"):
        left_behind()
    assert boards.sets(0) == 0


def test_a_board_that_refuses_locks_though_it_lists_clocks_fails_in_words_and_gets_its_limit_back(
    boards: GoldenBoards,
) -> None:
    boards.offer(REFUSES_LOCKS, board=1)
    with hold_boards([B], RUN) as held:
        held.hold(LIMIT)
        with pytest.raises(NotOfferedError, match="does not offer it"):
            held.hold(BoardSetting(power_limit_w=300, sm_clock_mhz=1200))
        assert boards.limit_of(1) == (300.0, 0)
    assert as_found(boards)
    assert noted() == []


def _ended_by(error: type[BaseException]) -> None:
    with hold_boards(BOTH, RUN) as held:
        held.hold(BoardSetting(power_limit_w=300, sm_clock_mhz=900))
        raise error


def _ended_without_the_right(boards: GoldenBoards) -> None:
    with hold_boards(BOTH, RUN) as held:
        held.hold(LIMIT)
        boards.strike("set", NO_PERMISSION, board=0)


def _ended_as_one_is_lost(boards: GoldenBoards) -> None:
    with hold_boards(BOTH, RUN) as held:
        held.hold(LIMIT)
        boards.strike("limit", LOST, board=0)
