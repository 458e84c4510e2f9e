"""The real sidecar, through the real pynvml, on simulated boards in real time, against what they really used."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.energy.device import device_energy
from analysis.energy.integral import read_series
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window
from configs.meters import Meters
from server.power.sidecar import Sidecar
from starwatt_errors import MeterError, TraceError
from tests.golden.nvml.world import (
    COUNTER,
    COUNTER_OF_SENSOR,
    HIDES_PROCESSES,
    INSTANT,
    MIG,
    MODULE,
    RESET_REQUIRED,
    BoardModel,
    GoldenBoards,
)
from tests.server.power.conftest import A, B, golden_boards
from tests.server.power.test_sidecar import read, wait_for
from tests.support.busy import PATIENCE_S
from traces.clock import now_ns
from traces.streams import read_trace

SECOND = 1_000_000_000
NVML = Meters(sources=("nvml",))
CALIBRATED = {
    "power_w": {"update_s": 0.1, "window_s": 0.1, "lag_s": 0.0},
    "energy_j": {"step_s": 0.1},
}


def plan_bursts(boards: GoldenBoards, board: int, start_ns: int, seconds: float, seed: int) -> None:
    """Decoding with random bursts, planned ahead: the boards' clock plays it."""
    rng = random.Random(seed)  # noqa: S311 -- a simulation
    at_ns = start_ns
    while at_ns < start_ns + seconds * SECOND:
        boards.draw(350.0, at_ns, board=board)
        at_ns += int(rng.expovariate(1 / 0.16) * SECOND)
        boards.draw(600.0, at_ns, board=board)
        at_ns += SECOND // 25
    boards.draw(350.0, at_ns, board=board)


def states(folder: Path) -> list[str]:
    """What was seen of who is on the boards, so far."""
    try:
        return [row["state"] for row in read_trace(folder, "occupancy").to_pylist()]
    except TraceError:  # nothing was flushed yet
        return []


@pytest.mark.parametrize("offers", [INSTANT, INSTANT | COUNTER, INSTANT | COUNTER | COUNTER_OF_SENSOR])
def test_joules_of_two_boards_are_what_they_really_used(
    tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch, offers: int
) -> None:
    models = [BoardModel(uuid, offers=offers, window_s=0.1, lag_s=0.0) for uuid in (A, B)]
    boards = golden_boards(nvml_library, tmp_path, monkeypatch, models)
    start_ns = now_ns()
    for board in (0, 1):
        plan_bursts(boards, board, start_ns, 30.0, seed=board)
    with Sidecar.start(tmp_path, NVML, engine_pid=None):
        window = Window(now_ns() + SECOND // 2, now_ns() + 4 * SECOND)
        wait_for(lambda: now_ns() > window.end_ns + SECOND // 2)
    series = read_series(read_trace(tmp_path, "power"))
    sensors = Sensors({A: CALIBRATED, B: CALIBRATED}, Meters())
    for board, one in enumerate(series):
        energy = device_energy(one, window, sensors)
        assert set(energy.reasons) <= {
            "power_gap"
        }  # a busy machine may have stopped the sidecar for a second
        true_j = boards.true_j(window.start_ns, window.end_ns, board=board)
        assert energy.energy_j == pytest.approx(true_j, rel=0.1)


def test_a_driver_that_starts_anew_leaves_a_counter_that_is_caught_and_not_summed(
    tmp_path: Path, nvml: GoldenBoards
) -> None:
    with Sidecar.start(tmp_path, Meters(sources=("nvml",), counter_hz=5), engine_pid=None):
        start_ns = now_ns()
        wait_for(lambda: len(read(tmp_path)) > 60)
        nvml.reset_driver()
        wait_for(lambda: len(read(tmp_path)) > 120)
        window = Window(start_ns, now_ns() - SECOND // 2)
    [first, _] = read_series(read_trace(tmp_path, "power"))
    energy = device_energy(first, window)
    assert energy.counter_fault == "counter_backwards"
    assert energy.counter_j is None
    assert energy.method == "integral"
    assert energy.energy_j == pytest.approx(300.0 * window.seconds, rel=0.001)


def test_a_board_that_must_be_reset_ends_the_sidecar_in_its_own_words(
    tmp_path: Path, nvml: GoldenBoards
) -> None:
    nvml.strike("energy", RESET_REQUIRED, after_calls=3)
    sidecar = Sidecar.start(tmp_path, Meters(sources=("nvml",), counter_hz=10), engine_pid=None)
    sidecar.process.wait(timeout=PATIENCE_S)
    with pytest.raises(MeterError, match="nvmlDeviceGetTotalEnergyConsumption: GPU requires restart"):
        sidecar.stop()


def test_a_slow_counter_costs_instants_of_the_schedule_and_each_reading_says_what_it_took(
    tmp_path: Path, nvml: GoldenBoards
) -> None:
    nvml.strike("energy", sleep_s=0.2, board=0, after_calls=1)
    with Sidecar.start(tmp_path, NVML, engine_pid=None) as sidecar:
        wait_for(lambda: len(read(tmp_path)) > 60)
    assert sidecar.summary["skipped"] > 0
    slow = [row["read_ns"] for row in read(tmp_path) if row["energy_j"] is not None]
    fast = [row["read_ns"] for row in read(tmp_path) if row["power_w"] is not None]
    assert min(slow) > 0.2 * SECOND
    assert sorted(fast)[len(fast) // 2] < 0.2 * SECOND


def test_on_a_module_the_counter_is_left_out_because_it_may_hold_the_cpus_energy(
    tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = BoardModel(A, offers=INSTANT | COUNTER | MODULE, module_w=150.0)
    golden_boards(nvml_library, tmp_path, monkeypatch, [model])
    with Sidecar.start(tmp_path, NVML, engine_pid=None) as sidecar:
        wait_for(lambda: len(read(tmp_path)) > 0)
    assert "may hold the CPU's energy too" in sidecar.devices[0]["note"]
    assert {row["power_w"] for row in read(tmp_path)} == {300.0, None}
    assert {row["energy_j"] for row in read(tmp_path)} == {None}


def test_a_board_in_mig_mode_says_whose_power_it_shows(
    tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden_boards(nvml_library, tmp_path, monkeypatch, [BoardModel(A, offers=INSTANT | MIG)])
    with Sidecar.start(tmp_path, NVML, engine_pid=None) as sidecar:
        assert "MIG is on: power is of all its instances" in sidecar.devices[0]["note"]


def test_boards_are_chosen_by_uuid_in_the_studys_file(tmp_path: Path, nvml: GoldenBoards) -> None:
    with Sidecar.start(tmp_path, Meters(sources=("nvml",), gpus=(B,)), engine_pid=None) as sidecar:
        assert [device["name"] for device in sidecar.devices] == [B]
    with pytest.raises(MeterError, match=f"there is no GPU GPU-none here; there is {A}, {B}"):
        Sidecar.start(tmp_path, Meters(sources=("nvml",), gpus=("GPU-none",)), engine_pid=None)


def test_who_is_on_the_boards_is_told_apart(tmp_path: Path, nvml: GoldenBoards, busy_pid: int) -> None:
    nvml.run_on(busy_pid, board=0)
    nvml.run_on(busy_pid, os.getpid(), board=1)
    with Sidecar.start(tmp_path, NVML, engine_pid=busy_pid):
        wait_for(lambda: len(states(tmp_path)) >= 2)
    assert states(tmp_path)[:2] == ["exclusive", "shared"]


@pytest.mark.parametrize("pids", [(), (4_194_001,)])
def test_a_list_without_the_engine_proves_nothing(
    tmp_path: Path, nvml: GoldenBoards, busy_pid: int, pids: tuple[int, ...]
) -> None:
    nvml.run_on(*pids)
    with Sidecar.start(tmp_path, NVML, engine_pid=busy_pid):
        wait_for(lambda: len(states(tmp_path)) >= 2)
    assert set(states(tmp_path)) == {"unknown"}


def test_hidden_processes_are_unknown(
    tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch, busy_pid: int
) -> None:
    boards = golden_boards(
        nvml_library, tmp_path, monkeypatch, [BoardModel(A, offers=INSTANT | HIDES_PROCESSES)]
    )
    boards.run_on(busy_pid, os.getpid())
    with Sidecar.start(tmp_path, NVML, engine_pid=busy_pid):
        wait_for(lambda: len(states(tmp_path)) >= 1)
    assert set(states(tmp_path)) == {"unknown"}


def test_a_board_that_must_be_ours_alone_and_is_not_ends_the_sidecar(
    tmp_path: Path, nvml: GoldenBoards, busy_pid: int
) -> None:
    nvml.run_on(busy_pid, os.getpid())
    settings = Meters(sources=("nvml",), require_exclusive=True)
    sidecar = Sidecar.start(tmp_path, settings, engine_pid=busy_pid)
    sidecar.process.wait(timeout=PATIENCE_S)
    with pytest.raises(MeterError, match=rf"{A} is not ours alone: {os.getpid()} \(.*require_exclusive"):
        sidecar.stop()


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, nvml: GoldenBoards) -> None:
    command = [
        sys.executable,
        "-m",
        "server.power",
        "--out",
        str(tmp_path),
        "--meters",
        NVML.model_dump_json(),
    ]

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    done = subprocess.run(
        command, preexec_fn=little_room, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 1
    assert f"{tmp_path}/power.arrows: cannot be written" in done.stderr
