"""What a person is told while a study runs: how much time is left."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from study.progress.display import Display, show


class Clock:
    """A monotonic clock that is set by hand, in seconds."""

    now_s = 1000.0

    def monotonic(self) -> float:
        """As ``time.monotonic``."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("study.progress.display.time", clock)
    return clock


def left_s(shown: Display, capsys: pytest.CaptureFixture[str]) -> int:
    """What the line of the step that begins says, in seconds."""
    shown.title("a cell")
    told = re.search(r"about (\d+) min (\d\d) s left", capsys.readouterr().err)
    assert told is not None
    return int(told[1]) * 60 + int(told[2])


@pytest.mark.parametrize(("estimate_s", "pace"), [(60.0, 1.0), (30.0, 2.0)])
def test_the_time_that_is_left_falls_by_a_second_a_second(
    clock: Clock, capsys: pytest.CaptureFixture[str], estimate_s: float, pace: float
) -> None:
    shown = Display("cell", 4, estimate_s=4 * estimate_s)
    clock.now_s += 20
    assert left_s(shown, capsys) == 240 / pace - 20
    clock.now_s += 40
    shown.advance(estimate_s=estimate_s)
    assert left_s(shown, capsys) == 180
    for passed, left in ((30, 150), (59, 121)):
        clock.now_s = 1060 + passed
        assert left_s(shown, capsys) == left
    clock.now_s = 1120
    shown.advance(estimate_s=estimate_s)
    assert left_s(shown, capsys) == 120


def test_a_step_that_takes_longer_than_all_of_them_leaves_no_time_and_never_less(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Display("cell", 2, estimate_s=20)
    clock.now_s += 500
    assert left_s(shown, capsys) == 0


@pytest.mark.parametrize("steps", [1, 12])
def test_the_live_line_is_one_line_of_a_narrow_terminal_and_shows_the_time_that_is_left(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("study.progress.display.console", terminal)
    shown = Display("load", steps)
    shown.title("open-20-poisson-most-16 of a model with a long name")
    shown.expect(75)
    shown.status("window 12/1000, 4 in flight")
    with terminal.capture() as captured:
        terminal.print(shown._progress)
    [line] = captured.get().rstrip("\n").splitlines()
    assert len(line) <= 80
    assert "about 0:01:15 left" in line
    assert "load · open-20" in line


@pytest.mark.parametrize("width", [64, 72, 90, 140])
def test_heads_of_a_narrow_table_break_between_words_or_behind_a_slash_and_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    heads = ("variant", "J/request", "output tokens/request", "requests/s", "e2e p50, ms")
    row = ("int4-awq+kv-fp8+ngram", "0.812 (0.790 to 0.834)", "1.004", "0.93 [too_few_blocks]", "1.21")
    table = Table(*heads, title="b over a")
    table.add_row(*map(Text, row))
    printed = io.StringIO()
    monkeypatch.setattr(
        "study.progress.display.console",
        Console(file=printed, width=width, force_terminal=True, color_system=None),
    )
    show(table)
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    columns = [
        [line[1:-1].split("┃" if "┃" in line else "│") for line in lines if line[:1] == mark] for mark in "┃│"
    ]
    for place, head in enumerate(heads):
        parts = [cells[place].strip() for cells in columns[0]]
        assert re.sub(r"\s", "", "".join(parts)) == head.replace(" ", "")
        assert set(re.findall(r"\w+", " ".join(parts))) == set(re.findall(r"\w+", head))
    for place, text in enumerate(row):
        assert "".join(cells[place].strip() for cells in columns[1]).replace(" ", "") == text.replace(" ", "")
