"""Constant arrivals that are dithered can be measured by sensors that look at a part of their period."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from configs.loads import Open
from loadgen.planning.arrivals import Arrivals
from tests.golden.power_trials import Trial, attempt
from tests.golden.power_worlds import Floats, served
from tests.golden.real_waves import folded_a100_wave
from tests.golden.sensors import A100, V100, SensorModel

WINDOW_S = 60.0
Pulse = tuple[Floats, Floats, float]


def burst(rng: np.random.Generator, _: float) -> Pulse:
    """10 to 60 ms of prefill on decode."""
    return np.array([0.0, rng.uniform(0.010, 0.060)]), np.array([600.0]), 350.0


def real(_: np.random.Generator, rate_hz: float) -> Pulse:
    """An A100's own, 50 ms on with all its edges, by an external meter."""
    wave = folded_a100_wave()
    if wave is None:
        pytest.skip("the external meter's recording is not here")
    high = int(np.argmax(np.convolve(np.tile(wave, 2), np.ones(50), "valid")[:100]))
    turned = np.roll(wave, -high)
    lasts_s = min(0.062, 0.9 / rate_hz)
    return np.linspace(0.0, lasts_s, 63), turned[:62], float(turned[65:95].mean())


def tried(model: SensorModel, rate_hz: float, kind: str, dither_s: float, count: int) -> list[Trial]:
    rng = np.random.default_rng(41)
    trials = []
    for number in range(count):
        load = Open(kind="open", qps=rate_hz, arrivals="constant")
        offsets = islice(
            Arrivals(load, 20, number, 0, dither_s).offsets_ns(), int((WINDOW_S + 8) * rate_hz) + 4
        )
        arrivals_s = np.array(list(offsets)) * 1e-9 - 4 + rng.uniform(0, 1 / rate_hz)
        world = served(arrivals_s, *{"burst": burst, "real": real}[kind](rng, rate_hz))
        trials.append(attempt(world, replace(model, counter=None), rng, WINDOW_S))
    return trials


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.parametrize("rate_hz", [10.0, 10.06, 12.0])
@pytest.mark.parametrize("kind", ["burst", "real"])
def test_dithered_rates_come_out_within_a_percent_with_honest_intervals(
    kind: str, rate_hz: float, count: int
) -> None:
    trials = tried(A100, rate_hz, kind, 0.1, count)
    assert np.percentile([abs(trial.off) for trial in trials], 95) <= 0.01
    assert np.mean([trial.covered for trial in trials]) >= 0.93
    assert np.mean(["aliased" in trial.found.reasons for trial in trials]) <= 0.05


@pytest.mark.parametrize("kind", ["burst", "real"])
def test_without_a_dither_the_same_rates_are_off_by_more_or_invalid(kind: str) -> None:
    beat, locked = (tried(A100, rate_hz, kind, 0.0, 20) for rate_hz in (10.06, 10.0))
    assert max(abs(trial.off) for trial in beat) > 0.01
    assert all("aliased" in trial.found.reasons for trial in locked)


def test_a_sensor_that_is_polled_slower_than_it_updates_takes_a_dither_of_the_polls() -> None:
    trials = tried(V100, 10.0, "burst", 0.1, 20)
    assert np.percentile([abs(trial.off) for trial in trials], 95) <= 0.01
