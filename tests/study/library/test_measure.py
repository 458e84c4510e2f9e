"""Joules of a block: of simulated boards whose truth is known, of CPU time, and of what cannot be measured."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import starwatt
from study.library import measure as module
from tests.golden.nvml.world import GoldenBoards
from tests.server.power.conftest import A, B, nvml, nvml_here, nvml_library  # noqa: F401 -- fixtures
from traces.clock import now_ns
from traces.streams import read_trace

MODELLED: dict[str, Any] = {"sources": ["modelled"], "sample_hz": 100, "modelled": {"watts_per_cpu": 10.0}}
LONG_ENOUGH_S = 0.6
"""At 50 or 100 readings a second: more than the 20 that a window takes."""


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No recording outlives its block."""
    yield
    assert not [child for child in psutil.Process().children() if "server.power" in " ".join(child.cmdline())]


@pytest.mark.filterwarnings("ignore::starwatt.Doubtful")  # on a machine that stands still for seconds
def test_joules_of_a_block_are_those_of_the_boards_board_by_board(nvml_here: GoldenBoards) -> None:  # noqa: F811
    with starwatt.measure(meters={"sources": ["nvml"], "sample_hz": 50}) as measured:
        nvml_here.draw(500.0)
        start_ns = now_ns()
        time.sleep(1.5)  # the block's own work: what draws power
        end_ns = now_ns()
        nvml_here.draw(300.0)
    first, second = measured.devices
    assert (first.name, second.name) == (A, B)
    true_j = nvml_here.true_j(start_ns, end_ns)
    assert not first.valid or first.joules == pytest.approx(true_j, rel=0.1)
    assert first.lo is not None
    [gpu] = measured.boundaries
    assert measured.joules == gpu.joules
    assert gpu.joules == pytest.approx(sum(device.joules or 0 for device in measured.devices))
    assert gpu.gain is not None
    assert gpu.gain > 0.05  # the factors' share of two boards, and the offsets'
    assert list(measured.frame().name) == [A, B]
    assert str(measured).startswith(f"{gpu.joules:.4g} J")


def busy(seconds: float) -> float:
    """Use the CPU; returns the seconds that this thread had of it."""
    start, until = time.thread_time(), time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))
    return time.thread_time() - start


@pytest.mark.filterwarnings("ignore::starwatt.Doubtful")
def test_an_estimate_is_cpu_time_times_watts_in_a_loop_nested_and_in_threads() -> None:
    results: list[tuple[float, starwatt.Measurement]] = []

    def work() -> None:
        with starwatt.measure(meters=MODELLED) as measured:
            used_s = busy(LONG_ENOUGH_S)
        results.append((used_s, measured))

    thread = threading.Thread(target=work)
    with starwatt.measure(meters=MODELLED) as outer:
        thread.start()
        for _ in range(2):
            work()
        thread.join()
    assert len(results) == 3
    for used_s, measured in results:
        assert measured.joules is not None, measured.why
        assert not measured.valid or measured.joules > 10 * used_s * 0.5
        assert "an estimate: CPU time x watts" in str(measured)
    assert outer.joules is not None
    assert outer.joules > max(measured.joules or 0 for _, measured in results)
    assert outer.seconds > 2 * LONG_ENOUGH_S


def test_a_block_shorter_than_its_readings_warns_and_says_why() -> None:
    with pytest.warns(starwatt.Doubtful, match=r"cannot be believed: .*\(window_too_short\)"):  # noqa: SIM117
        with starwatt.measure(meters={**MODELLED, "sample_hz": 5}) as measured:
            pass
    assert not measured.valid
    assert "window_too_short" in measured.reasons
    assert "not to be believed" in str(measured)


def test_without_a_meter_there_is_an_error_unless_an_estimate_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "choose_sources", lambda _: ["modelled"])
    with pytest.raises(starwatt.MeterError, match=r"no power meter answers here.*measure\(estimate=True\)"):  # noqa: SIM117
        with starwatt.measure():
            pytest.fail("it measured nothing")
    assert starwatt.measure(estimate=True)._sources() == ("modelled",)


def _read_too_early(measured: starwatt.Measurement) -> int:
    with pytest.raises(starwatt.StarwattError, match="has not ended"):
        _ = measured.joules
    return 0


def test_an_error_in_the_block_is_the_blocks_own_and_leaves_no_joules() -> None:
    measured = starwatt.measure(meters=MODELLED)
    with pytest.raises(starwatt.StarwattError, match="has not begun"):
        _ = measured.joules
    with pytest.raises(ZeroDivisionError), measured:
        1 / _read_too_early(measured)
    with pytest.raises(starwatt.StarwattError, match="has not ended, or ended with an error"):
        _ = measured.seconds
    with pytest.raises(starwatt.StarwattError, match="of one block"), measured:
        pytest.fail("a second block")


def _kill_the_sidecar() -> None:
    [sidecar] = [
        process for process in psutil.Process().children() if "server.power" in " ".join(process.cmdline())
    ]
    os.kill(sidecar.pid, signal.SIGKILL)


def test_a_meter_that_dies_spoils_the_joules_and_not_the_block(tmp_path: Path) -> None:
    measured = starwatt.measure(meters=MODELLED, folder=tmp_path / "kept")
    with pytest.warns(starwatt.Doubtful, match="the power sidecar was killed"), measured:
        _kill_the_sidecar()
    assert not measured.valid
    assert measured.problem is not None


@pytest.mark.filterwarnings("ignore::starwatt.Doubtful")
def test_a_recording_is_kept_where_a_folder_is_named_and_never_overwritten(tmp_path: Path) -> None:
    with starwatt.measure(meters=MODELLED, folder=tmp_path / "kept") as measured:
        busy(LONG_ENOUGH_S)
    assert read_trace(tmp_path / "kept", "power").num_rows > 2
    assert [device.name for device in measured.devices] == ["engine"]
    with pytest.raises(starwatt.UsageError, match="holds a recording already"):
        starwatt.measure(folder=tmp_path / "kept")


def test_wrong_meters_are_named_as_in_a_studys_file() -> None:
    with pytest.raises(
        starwatt.UsageError, match=r"meters: sample_hz: takes a number up to 100 \(given: 1000\)"
    ):
        starwatt.measure(meters={"sample_hz": 1000})
    with pytest.raises(starwatt.UsageError, match="meters: watts: no such field"):
        starwatt.measure(meters={"watts": 3})
