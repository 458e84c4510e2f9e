"""A study that sets boards is refused before anything is started where it may not, cannot, or would disturb another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from configs.schema import Study
from server.engines import boards as of_engines
from server.power.control.board import ControlError
from server.power.control.hold import hold_boards
from server.power.control.journal import note, noted, read
from server.power.rapl import find_zones
from starwatt_errors import LoadError, RunError
from study.cli.app import app
from study.doctor.boards import boards_here, line_of
from study.doctor.environment import boards_as_found
from study.executors.local import LocalExecutor, held_boards
from study.preflight import meters_here
from study.preflight.boards import board_problems
from study.preflight.meters_here import missing_devices
from study.records.left_boards import put_back_what_was_left
from tests.golden.nvml.world import NO_PERMISSION, NOT_SUPPORTED, GoldenBoards
from tests.server.power.conftest import A, B, nvml, nvml_here, nvml_library  # noqa: F401 -- fixtures
from tests.server.power.control.conftest import as_found, boards  # noqa: F401 -- a fixture
from traces.layout import RunDir

FIELDS: dict[str, Any] = {
    "name": "s",
    "models": ["starcoder2-memorised"],
    "baseline": "bf16",
    "variants": ["bf16"],
    "loads": [{"kind": "single_stream"}],
}


@pytest.fixture(autouse=True)
def _looked_for_anew() -> Iterator[None]:
    of_engines.readable.cache_clear()
    yield
    of_engines.readable.cache_clear()


def study(*settings: dict[str, Any], **changes: Any) -> Study:
    return Study.model_validate({**FIELDS, "board": settings, **changes})


def said(asked: Study, *, allowed: bool = True) -> list[tuple[str, str]]:
    """Field and words of every problem."""
    problems = board_problems(asked, RunDir(Path("runs/own")), LocalExecutor(asked), allowed=allowed)
    return [(".".join(map(str, problem.field)), problem.words) for problem in problems]


def test_without_the_flag_it_is_refused_and_no_board_is_touched(boards: GoldenBoards) -> None:  # noqa: F811
    [(field, words)] = said(study({"power_limit_w": 300}), allowed=False)
    assert (field, "--allow-board-control" in words) == ("board", True)
    assert boards.sets(0) == 0


def test_a_study_that_sets_no_board_needs_no_flag(boards: GoldenBoards) -> None:  # noqa: F811
    assert said(study(), allowed=False) == []
    assert boards.sets(0) == 0


def test_each_value_that_the_board_does_not_take_is_named_by_its_place(boards: GoldenBoards) -> None:  # noqa: F811
    problems = said(study({"power_limit_w": 300}, {"power_limit_w": 50}, {"sm_clock_mhz": 3000}))
    assert [field for field, _ in problems] == ["board.1", "board.2"]
    assert "100 to 700 W (given: 50)" in problems[0][1]
    assert "210 to 1980 MHz (given: 3000)" in problems[1][1]
    assert as_found(boards)


def test_who_may_do_it_is_said_where_this_user_may_not(boards: GoldenBoards) -> None:  # noqa: F811
    boards.strike("set", NO_PERMISSION)
    [(field, words)] = said(study({"power_limit_w": 300}))
    assert field == "board"
    assert "root alone may set a board" in words


def test_another_study_on_the_board_is_refused_whether_it_sets_boards_or_not(
    boards: GoldenBoards,  # noqa: F811
) -> None:
    with hold_boards([A], Path("runs/first")):
        for other in (study(), study({"power_limit_w": 300})):
            assert any("runs/first" in words for _, words in said(other))
    assert said(study()) == []
    assert as_found(boards)


def test_boards_that_a_killed_runner_of_the_same_run_still_holds_are_waited_for_with_it(
    boards: GoldenBoards,  # noqa: F811
) -> None:
    with hold_boards([A], Path("runs/own")):
        assert said(study({"power_limit_w": 300})) == []
    with hold_boards([A], Path("runs/own-other")):
        assert len(said(study({"power_limit_w": 300}))) == 1
    assert as_found(boards)


def left_set(boards: GoldenBoards) -> None:  # noqa: F811
    """As two killed processes leave it."""
    with hold_boards([A], Path("runs/killed")) as held:
        held.hold(study({"power_limit_w": 250}).board[0])
        noted = read(A)
    assert noted is not None
    note(noted)
    boards.set_limit(250.0)


def test_what_was_left_set_is_put_back_by_the_next_study(boards: GoldenBoards) -> None:  # noqa: F811
    left_set(boards)
    told: list[str] = []
    put_back_what_was_left(told.append)
    assert as_found(boards)
    assert "700 W again" in told[0]
    assert said(study()) == []


def test_a_metered_search_for_a_rate_puts_back_what_was_left_set(
    boards: GoldenBoards,  # noqa: F811
    tmp_path: Path,
) -> None:
    left_set(boards)
    url = ["load", "--url", "http://127.0.0.1:1", "--model", "m", "--meter", "local"]
    done = CliRunner().invoke(app, [*url, "--find-rate", "--slo", "ttft=1s", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, LoadError)
    assert as_found(boards)


def test_a_board_that_cannot_be_put_back_is_not_measured_on(boards: GoldenBoards) -> None:  # noqa: F811
    left_set(boards)
    boards.strike("set", NO_PERMISSION)
    told: list[str] = []
    put_back_what_was_left(told.append)
    assert "root alone" in told[0]
    [(_, words)] = said(study())
    assert "was at 700 W before" in words
    assert "starwatt board --restore" in words
    assert said(study(meters={"gpus": [B]})) == []


def test_doctor_finds_a_board_that_was_left_set_and_says_how_to_put_it_back(boards: GoldenBoards) -> None:  # noqa: F811
    assert boards_as_found().state == "ok"
    left_set(boards)
    finding = boards_as_found()
    assert finding.state == "failed"
    assert f"{A}) was set to 250 W by the study of" in finding.detail
    assert "starwatt board --restore" in finding.remedy


def test_what_a_board_does_not_tell_is_not_shown_as_a_value(boards: GoldenBoards) -> None:  # noqa: F811
    boards.strike("clocks", NOT_SUPPORTED)
    assert "limit 700 W, takes 100 to 700 W" in line_of(boards_here()[0])
    assert "clock not told, takes none" in line_of(boards_here()[0])


def test_a_study_of_somebody_who_may_not_write_there_is_told_of_a_board_that_root_left_and_of_no_other(
    boards: GoldenBoards,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left_set(boards)
    opened = os.open

    def refused(path: str, flags: int, *more: int) -> int:
        if flags & os.O_RDWR and str(path).endswith(".lock"):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", refused)
    told: list[str] = []
    put_back_what_was_left(told.append)
    assert "Permission denied" in told[0]
    assert "starwatt board --restore" in told[0]
    assert len(said(study())) == 1
    assert said(study(meters={"gpus": [B]})) == []


@pytest.mark.parametrize(("visible", "number"), [("0", 0), ("1", 1)])
def test_only_the_boards_of_this_slots_engine_are_set(
    boards: GoldenBoards,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    number: int,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    capped = study({"power_limit_w": 300})
    with held_boards(capped, RunDir(Path("runs/x"))) as held:
        assert held is not None
        held.hold(capped.board[0])
        assert [boards.limit_of(at)[0] for at in (number, 1 - number)] == [300.0, 700.0]
    assert as_found(boards)


def test_all_boards_of_an_engine_in_several_parts_are_set(boards: GoldenBoards) -> None:  # noqa: F811
    capped = study({"power_limit_w": 300}, engine={"tensor_parallel": 2})
    with held_boards(capped, RunDir(Path("runs/x"))) as held:
        assert held is not None
        held.hold(capped.board[0])
        assert [boards.limit_of(at)[0] for at in (0, 1)] == [300.0, 300.0]
    assert as_found(boards)


def test_where_it_is_measured_what_cannot_be_set_is_refused_too(boards: GoldenBoards) -> None:  # noqa: F811
    with pytest.raises(ControlError, match=r"board.0: .*takes a power limit of 100 to 700 W"):
        held_boards(study({"power_limit_w": 900}), RunDir(Path("runs/x"))).__enter__()
    with hold_boards([A], Path("runs/first")), pytest.raises(RunError, match="two studies cannot share it"):
        held_boards(study({"power_limit_w": 300}), RunDir(Path("runs/x"))).__enter__()
    assert noted() == []


def test_a_machine_without_boards_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    capped = study({"power_limit_w": 300})
    assert said(capped) == [("board", "takes an NVIDIA board, and none is here")]
    with pytest.raises(ControlError, match="no NVIDIA board"):
        held_boards(capped, RunDir(Path("runs/x"))).__enter__()


def test_zones_of_rapl_that_a_container_hides_keep_no_study_from_naming_its_boards(
    boards: GoldenBoards,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "hidden")
    monkeypatch.setattr(meters_here, "find_zones", partial(find_zones, tmp_path))
    assert [problem.words for problem in missing_devices(study(meters={"gpus": [A]}))] == []
