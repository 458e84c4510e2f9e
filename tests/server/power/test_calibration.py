"""What calibration finds of sensors whose parameters are known."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pynvml
import pytest

from server.power.calibration import calibrate as calibration
from server.power.calibration.calibrate import calibrate
from server.power.calibration.calibrate import words as calibration_words
from server.power.calibration.response import Floats, response, update_period
from tests.golden.nvml.world import LOST, BoardModel, GoldenBoards
from tests.golden.power_worlds import PowerWorld, bursts
from tests.golden.sensors import SENSORS, SensedWorld, SensorModel
from tests.server.power.conftest import A, B, golden_boards
from tests.support.busy import PATIENCE_S

POLL_S = 0.002


def polled(world: PowerWorld, model: SensorModel, end_s: float, seed: int = 1) -> tuple[Floats, Floats]:
    """A sensor read every two milliseconds."""
    rng = np.random.default_rng(seed)
    due = np.arange(0.0, end_s, POLL_S)
    t_s = np.asarray(due + rng.exponential(0.0002, due.size), dtype=np.float64)
    return t_s, SensedWorld(world, model, rng, 0.0, end_s).power_w(t_s)


@pytest.mark.parametrize("model", SENSORS, ids=lambda model: model.name)
def test_the_update_period_is_found_under_a_load_that_varies(model: SensorModel) -> None:
    period_s = update_period(*polled(bursts(np.random.default_rng(2), 6.0), model, 6.0))
    assert period_s.value == pytest.approx(model.update_s, rel=0.02)


def test_power_that_never_changes_tells_nothing_and_says_so() -> None:
    period_s = update_period(np.linspace(0.0, 3.0, 1500), np.full(1500, 70.0))
    assert period_s.value is None
    assert period_s.reason is not None
    assert "did not change" in period_s.reason


@pytest.mark.parametrize("lag_s", [0.0, 0.05])
@pytest.mark.parametrize("model", SENSORS, ids=lambda model: model.name)
def test_window_and_lag_are_found_from_steps_of_a_load(model: SensorModel, lag_s: float) -> None:
    rng = np.random.default_rng(3)
    steps = 1.0 + np.cumsum(rng.uniform(1.25, 1.55, 30))
    edges = np.concatenate(([-5.0], steps, [steps[-1] + 2.0]))
    world = PowerWorld(edges, np.where(np.arange(edges.size - 1) % 2, 500.0, 70.0))
    late = SensorModel(model.name, model.update_s, model.window_s, lag_s)
    fitted = response(
        *polled(world, late, float(steps[-1]) + 1.0), [float(step) for step in steps], model.update_s
    )
    assert fitted.window_s.value == pytest.approx(model.window_s, rel=0.1, abs=0.004)
    assert fitted.lag_s.value == pytest.approx(lag_s, abs=0.006)


def test_the_command_says_what_is_found_on_the_boards_and_why_the_rest_is_not(
    tmp_path: Path, nvml: GoldenBoards
) -> None:
    environment = {**os.environ, "STARWATT_STORE": str(tmp_path)}
    command = [
        sys.executable,
        "-c",
        "from study.cli.app import main; main()",
        "meter",
        "--calibrate",
        "--json",
    ]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    told = json.loads(done.stdout)
    assert told["load_applied"] is False
    board = told["devices"][A]
    assert board["idle_w"] == 300.0
    assert board["read_ms"] > 0
    step_s = board["energy_j"]["step_s"]  # None on a machine too busy to see its rhythm
    assert step_s is None or step_s == pytest.approx(0.1, rel=0.1)
    assert board["power_w"] == {"update_s": None, "window_s": None, "lag_s": None}
    assert "did not change" in board["reasons"]["power_w.update_s"]
    assert "no load could be applied" in board["reasons"]["power_w.window_s"]
    assert "torch" in board["reasons"]["power_w.window_s"] or "CUDA" in board["reasons"]["power_w.window_s"]
    assert told["devices"][B]["reasons"]["energy_j.step_s"] == "the board has no energy counter"
    assert "power_w" not in told["devices"][B]


@pytest.mark.parametrize(
    ("gain", "words"), [(0.0, "every reading was 0 W"), (1e4, "the board's limit is 700 W")]
)
def test_readings_that_no_board_gives_are_doubted(
    gain: float, words: str, tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden_boards(nvml_library, tmp_path, monkeypatch, [BoardModel(A, gain=gain)])
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(nvml_library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    calibration = calibrate(watch_s=0.2)
    assert words in calibration["devices"][A]["reasons"]["power_w"]
    assert any("power_w is in doubt" in line and words in line for line in calibration_words(calibration))


def test_readings_of_a_board_are_not_doubted(nvml_here: GoldenBoards) -> None:
    assert not {"power_w", "power_avg_w"} & set(calibrate(watch_s=0.2)["devices"][A]["reasons"])


SWITCHED = """
import json, sys
from contextlib import nullcontext
from pathlib import Path
from server.power.calibration.calibrate import calibrate
from tests.golden.nvml.world import BoardModel, GoldenBoards
from traces.clock import now_ns

boards = GoldenBoards(Path(sys.argv[1]), [BoardModel("GPU-a", window_s=0.05, average_s=1.0, lag_s=0.03)])

class Engine:
    def switch(self, on):
        t_ns = now_ns()
        boards.draw(500.0 if on else 70.0, t_ns)
        return t_ns

print(json.dumps(calibrate(load=lambda uuid: nullcontext(Engine()), watch_s=25.0)))
"""


@pytest.mark.long
def test_with_a_load_to_switch_window_and_lag_are_found_through_the_real_library(
    tmp_path: Path, nvml_library: Path
) -> None:
    world = tmp_path / "world"
    environment = {**os.environ, "GOLDEN_NVML": str(world), "LD_LIBRARY_PATH": str(nvml_library.parent)}
    done = subprocess.run(
        [sys.executable, "-c", SWITCHED, str(world)],
        env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    board = json.loads(done.stdout)["devices"]["GPU-a"]
    assert board["idle_w"] == 70.0
    for channel, window_s in (("power_w", 0.05), ("power_avg_w", 1.0)):
        assert board[channel]["update_s"] == pytest.approx(0.1, rel=0.02)
        assert board[channel]["window_s"] == pytest.approx(window_s, rel=0.2)
        assert board[channel]["lag_s"] == pytest.approx(0.03, abs=0.02)
    assert board["energy_j"]["step_s"] == pytest.approx(0.1, rel=0.05)


def test_a_board_that_fails_under_calibration_costs_the_others_nothing(
    nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml_here.strike("fields", LOST, board=0, after_calls=6)
    monkeypatch.setattr(calibration, "WATCH_S", 0.3)
    measured = calibrate()
    assert f"GPU 0 ({A}): nvmlDeviceGetFieldValues: GPU is lost" in measured["devices"][A]["reasons"]["board"]
    assert measured["devices"][B]["idle_w"] == 150.0
    assert any("GPU is lost" in line for line in calibration_words(measured))
