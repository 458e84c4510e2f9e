"""The load that calibration switches: it works while it is on, and only then."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from server.power.calibration.heater import Heater, heated, heater_on
from server.process.spawn import group_alive
from starwatt_errors import MeterError
from traces.clock import now_ns


def cpu_s(heater: Heater, seconds: float) -> float:
    """CPU seconds that its process takes meanwhile."""
    process = psutil.Process(heater.pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return float(sum(process.cpu_times()[:2]) - before)


def test_it_works_while_it_is_on_says_when_and_leaves_no_process() -> None:
    with heater_on("cpu", {**os.environ, "OMP_NUM_THREADS": "1"}, size=64) as heater:
        assert cpu_s(heater, 0.3) < 0.05
        asked_ns = now_ns()
        on_ns = heater.switch(True)
        assert asked_ns < on_ns < now_ns()
        while cpu_s(heater, 0.5) < 0.05:
            pass  # others have the CPU; the test's own time limit is the bound
        off_ns = heater.switch(False)
        assert on_ns < off_ns < now_ns()
        assert cpu_s(heater, 0.3) < 0.05
        group = heater.pid
    assert not group_alive(group)


def test_a_load_that_died_is_an_error_in_words() -> None:
    with heater_on("cpu", dict(os.environ), size=16) as heater:
        os.kill(heater.pid, signal.SIGKILL)
        time.sleep(0.2)
        with pytest.raises(MeterError, match="the load that calibration applies"):
            heater.switch(True)


def test_a_board_that_is_not_there_is_refused_in_torch_s_own_words() -> None:
    with pytest.raises(MeterError, match=r"(?i)cuda|torch"), heated("GPU-there-is-no-such-board"):
        pass


def test_a_device_that_torch_does_not_know_is_refused_in_its_own_words() -> None:
    with pytest.raises(MeterError, match=r"(?i)device"), heater_on("flux-capacitor", dict(os.environ)):
        pass
