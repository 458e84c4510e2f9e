"""Logs of wall meters: lines that are missing, and clocks that are set meanwhile, are in the interval or a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.energy.device import DeviceEnergy, device_energy
from analysis.energy.integral import PowerSeries
from analysis.energy.log_clock import clock_step_s
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window
from configs.meters import ExternalLog, Meters
from tests.golden.power_trials import START_NS
from tests.golden.power_worlds import Floats, waves

WINDOW = Window(START_NS, START_NS + 60_000_000_000)
SENSORS = Sensors({}, Meters(external=(ExternalLog(file=Path("wall.csv"), clock_uncertainty_s=0.0),)))


def log(t_s: Floats, power_w: Floats) -> PowerSeries:
    t_ns = START_NS + np.rint(t_s * 1e9).astype(np.int64)
    return PowerSeries("wall", "host", "external", t_ns, t_ns, power_w, t_ns[:0], power_w[:0])


def found(series: PowerSeries) -> DeviceEnergy:
    return device_energy(series, WINDOW, SENSORS)


def test_lines_that_are_missing_widen_the_interval_which_holds_the_truth() -> None:
    rng = np.random.default_rng(51)
    held, wider = [], []
    for _ in range(100):
        world = waves(rng, 62.0, swing_w=80.0)
        t_s = np.asarray(np.arange(-2.0, 63.0), dtype=np.float64)
        power_w = np.diff(world.used_j(np.concatenate(([t_s[0] - 1.0], t_s))))
        kept = np.ones(t_s.size, dtype=np.bool_)
        for first in rng.integers(0, 8, 3) + np.array([8, 24, 40]):
            kept[first : first + 3] = False
        whole, holed = found(log(t_s, power_w)), found(log(t_s[kept], power_w[kept]))
        assert whole.error_j is not None
        assert holed.error_j is not None
        assert holed.energy_j is not None
        assert holed.reasons == (), "below the bound of a gap"
        wider.append(holed.error_j > whole.error_j)
        held.append(abs(holed.energy_j - world.energy_j(0.0, 60.0)) <= 1.96 * holed.error_j)
    assert all(wider)
    assert np.mean(held) >= 0.9


@pytest.mark.parametrize(("step_s", "seen_s"), [(0.0, 0.0), (30.0, 28.8), (-30.0, 28.8)])
@pytest.mark.parametrize("flushed_every", [1, 10])
def test_a_clock_that_is_set_meanwhile_is_seen_however_late_lines_are_written(
    step_s: float, seen_s: float, flushed_every: int
) -> None:
    true_s = np.asarray(np.arange(120.0), dtype=np.float64)
    arrived_s = np.ceil((true_s + 1) / flushed_every) * flushed_every - 1 + 0.05
    shown_s = true_s + np.where(true_s > 60, step_s, 0.0)
    order = np.argsort(shown_s, kind="stable")
    t_ns = START_NS + np.rint(shown_s[order] * 1e9).astype(np.int64)
    late_s = (arrived_s - shown_s)[order] + 40.0  # the clocks differ by that anyway
    assert clock_step_s(t_ns, late_s) == pytest.approx(seen_s, abs=0.2)


def test_joules_of_a_log_whose_clock_was_set_are_invalid() -> None:
    t_s = np.asarray(np.arange(-2.0, 63.0), dtype=np.float64)
    steady = log(t_s, np.full(t_s.size, 300.0))
    assert found(steady).reasons == ()
    assert found(replace(steady, clock_step_s=1.0)).reasons == ("clock_uncertain",)
