"""A board's factor and offset beside a trusted meter: on recordings of real boards, and on simulated ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from configs.meters import ExternalLog
from server.power.calibration.against import Readings, fit_gain
from server.power.calibration.watch_both import gain_against
from starwatt_errors import MeterError
from tests.golden.nvml.world import INSTANT, BoardModel, GoldenBoards
from tests.golden.real_waves import DATA, metered, shown
from tests.server.power.conftest import A, golden_boards
from traces.clock import ClockPair, now_ns

RNG = np.random.default_rng(31)


def stepped(
    factor: float, offset_w: float, levels_w: tuple[float, ...], late_s: float = 0.0
) -> tuple[Readings, Readings]:
    """What a board shows of true power that goes through levels of three seconds, and that power."""
    t_s = np.asarray(np.arange(0.0, 3.0 * len(levels_w), 0.02), dtype=np.float64)
    true_w = np.array(levels_w)[np.minimum((t_s / 3.0).astype(int), len(levels_w) - 1)]
    shown_w = np.asarray((true_w - offset_w) / factor + RNG.normal(0, 0.2, t_s.size), dtype=np.float64)
    metered_w = true_w + RNG.normal(0, 0.2, t_s.size)
    return Readings(t_s, shown_w), Readings(np.asarray(t_s + late_s, dtype=np.float64), metered_w)


@pytest.mark.parametrize("late_s", [-1.2, 0.0, 0.7])
def test_factor_offset_and_clock_come_out_of_a_stepped_load(late_s: float) -> None:
    gain = fit_gain(*stepped(0.955, 20.9, (70.0, 390.0, 70.0, 250.0, 72.0, 388.0), late_s))
    assert gain.factor == pytest.approx(0.955, rel=0.003)
    assert gain.offset_w == pytest.approx(20.9, abs=0.5)
    assert gain.shift_s == pytest.approx(late_s, abs=0.06)
    assert len(gain.plateaus) == 6


def test_the_half_widths_hold_the_truth_in_nineteen_of_twenty_fits() -> None:
    held = []
    for _ in range(200):
        levels_w = tuple(RNG.uniform(60, 400, 2)[np.arange(6) % 2] + RNG.normal(0, 3.0, 6))
        wobbles = RNG.normal(0, 1.0, 6)  # of what the board shows, from plateau to plateau
        shown_w = tuple((watts - 5.0) / 1.04 + off for watts, off in zip(levels_w, wobbles, strict=True))
        if max(shown_w) < 1.5 * min(shown_w):
            continue
        ours, _ = stepped(1.0, 0.0, shown_w)
        _, true = stepped(1.0, 0.0, levels_w)
        gain = fit_gain(ours, true, reach_s=0.5)
        held.append(abs(gain.offset_w - 5.0) <= gain.offset_uncertainty_w)
    assert len(held) > 100
    assert np.mean(held) > 0.88


@pytest.mark.parametrize(
    ("levels_w", "words"),
    [
        ((100.0, 100.0, 300.0, 300.0), "stood still in 2 stretches"),
        ((100.0, 110.0, 100.0, 110.0), "from 100 to 110 W alone"),
    ],
)
def test_a_load_that_tells_no_gain_is_refused(levels_w: tuple[float, ...], words: str) -> None:
    with pytest.raises(MeterError, match=words):
        fit_gain(*stepped(1.0, 0.0, levels_w))


@pytest.mark.parametrize(
    ("recording", "at_load", "offset_w"),
    [
        ("A100_TR", 1.056, -2.2),
        ("3090_TR", 1.053, -0.1),
        ("A5000_TR", 1.073, -1.9),
        ("4090_TR", 1.009, -22.6),
    ],
)
def test_real_boards_come_out_as_they_are_known(recording: str, at_load: float, offset_w: float) -> None:
    folder = DATA / recording
    if not (folder / "PMD_data.bin").is_file():
        pytest.skip("the external meter's recordings are not here")
    gain = fit_gain(Readings(*shown(folder)), Readings(*metered(folder)), reach_s=1.0)
    assert gain.at_load == pytest.approx(at_load, abs=0.001)
    assert -gain.offset_w / gain.factor == pytest.approx(offset_w, abs=1.0), "of shown power over true power"


def test_a_board_whose_readings_keep_in_step_with_the_load_tells_no_gain() -> None:
    folder = DATA / "A100_5050"
    if not (folder / "PMD_data.bin").is_file():
        pytest.skip("the external meter's recordings are not here")
    with pytest.raises(MeterError, match="keep in step with the load"):
        fit_gain(Readings(*shown(folder)), Readings(*metered(folder)), reach_s=1.0)


def test_the_gain_of_a_board_is_found_beside_a_log_that_is_written_meanwhile(
    tmp_path: Path, nvml_library: Path, nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = BoardModel(A, offers=INSTANT, update_s=0.02, window_s=0.02, gain=1 / 1.05)
    boards = golden_boards(nvml_library, tmp_path, monkeypatch, [model])
    log = tmp_path / "wall.csv"
    log.write_text("time,power_w\n", encoding="utf-8")
    switch = _Switch(boards, log)

    @contextmanager
    def load(_: str) -> Iterator[_Switch]:
        yield switch

    steps_s = (1.5, 2.5, 2.5, 2.5, 2.5)
    gain = gain_against(ExternalLog(file=log), load, steps_s=steps_s, say=switch.write)
    assert gain.device == A
    assert gain.fit.factor == pytest.approx(1.05, rel=0.02)
    assert "gain: {" in gain.words()[-1]


class _Switch:
    """Draws from the board, and writes what a meter would say of the next seconds: a log may be ahead of us."""

    def __init__(self, boards: GoldenBoards, log: Path) -> None:
        self._boards, self._log = boards, log

    def switch(self, on: bool) -> int:
        self._boards.draw(400.0 if on else 100.0)
        self._write(400.0 if on else 100.0)
        return now_ns()

    def write(self, words: str) -> None:
        """What is said before each step."""

    def _write(self, watts: float) -> None:
        start_s = ClockPair.now().realtime_ns * 1e-9
        with self._log.open("a", encoding="utf-8") as file:
            file.writelines(f"{start_s + 0.05 * number:.3f},{watts}\n" for number in range(48))
