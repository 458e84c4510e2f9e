"""Loads with a rhythm of their own, on sensors that look at a part of the time: found, or in the interval.

Constant arrivals from 0.5 to 50 a second, at every phase, drifting by 0 to 50 cycles a window against the sensor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from analysis.energy import rhythm
from analysis.energy.moments import At
from analysis.energy.rhythm import coherent_lines
from analysis.requests.window import Window
from tests.golden.power_trials import Trial, attempt
from tests.golden.power_worlds import Floats, PowerWorld, bursts, repeated, waves
from tests.golden.real_waves import folded_a100_wave
from tests.golden.sensors import A100, H100_AVERAGE, H100_INSTANT, RTX_4090, V100, SensorModel

LENGTHS_S = (30.0, 60.0, 120.0)
RATES_HZ = (0.5, 1.0, 2.0, 3.3, 5.0, 7.5, 9.2, 10.06, 12.0, 15.0, 18.0, 22.0, 23.0, 26.0, 27.0, 33.0, 110 / 3, 41.0,
            130 / 3, 46.0, 50.0)  # fmt: skip
CYCLES = (0.0, 0.3, 0.7, 1.0, 1.5, 2.5, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0)
TRIED = (V100, A100, H100_INSTANT, RTX_4090, H100_AVERAGE)
Wave = tuple[Floats, Floats]
Shape = Callable[[np.random.Generator, float], Wave]


def square(_: np.random.Generator, rate_hz: float) -> Wave:
    """Half of the time prefill."""
    return np.array([0.0, 0.5 / rate_hz]), np.array([600.0, 350.0])


def burst(rng: np.random.Generator, rate_hz: float) -> Wave:
    """10 to 60 ms of prefill."""
    return np.array([0.0, min(rng.uniform(0.010, 0.060), 0.9 / rate_hz)]), np.array([600.0, 350.0])


def two_levels(_: np.random.Generator, rate_hz: float) -> Wave:
    """A short prefill, then a larger batch for a while."""
    return np.array([0.0, min(0.015, 0.3 / rate_hz), 0.4 / rate_hz]), np.array([600.0, 450.0, 350.0])


def ramps(rng: np.random.Generator, rate_hz: float) -> Wave:
    """Power that follows with a time constant of 5 to 30 ms."""
    period_s = 1 / rate_hz
    on_s, tau_s = rng.uniform(0.2, 0.8) * period_s, rng.uniform(0.005, 0.03)
    t_s = np.arange(0.0, period_s, max(period_s / 200, 0.0005))
    reached = 1 - np.exp(-np.minimum(t_s, on_s) / tau_s)
    power_w = 350 + 250 * reached * np.exp(-np.maximum(t_s - on_s, 0.0) / tau_s)
    return np.asarray(t_s, dtype=np.float64), np.asarray(power_w, dtype=np.float64)


def real(_: np.random.Generator, rate_hz: float) -> Wave:
    """An A100's own, by an external meter at 5 kHz."""
    wave = folded_a100_wave()
    if wave is None:
        pytest.skip("the external meter's recording is not here")
    return np.arange(wave.size) / wave.size / rate_hz, wave


SHAPES: tuple[Shape, ...] = (square, burst, two_levels, ramps, real)


def attempts(
    model: SensorModel,
    shape: Shape,
    each: int,
    seed: int,
    most: int = 0,
) -> dict[str, list[Trial]]:
    """By rate, ``each`` windows of a random phase and length; up to ``most``, until half of ``each`` are valid."""
    rng = np.random.default_rng([seed, TRIED.index(model), SHAPES.index(shape)])
    found: dict[str, list[Trial]] = defaultdict(list)
    for number in range(max(each, most)):
        length_s = LENGTHS_S[rng.integers(len(LENGTHS_S))]
        rates = {f"{rate_hz:g}/s": rate_hz for rate_hz in RATES_HZ}
        for cycles in CYCLES:
            multiple = int(rng.integers(1, 4 if model.update_s > 0.02 else 2))
            rates[f"{cycles:g} cycles"] = multiple / model.update_s + cycles / length_s
        for name, rate_hz in rates.items():
            if number >= each and 2 * len(believed(found[name])) >= each:
                continue
            world = repeated(rng, length_s, rate_hz, *shape(rng, rate_hz))
            found[name].append(attempt(world, replace(model, counter=None), rng, length_s))
    return found


def believed(trials: list[Trial]) -> list[bool]:
    """Of the windows that are not invalid: whether their interval holds the truth."""
    return [trial.covered for trial in trials if "aliased" not in trial.found.reasons]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("model", [V100, A100, RTX_4090], ids=lambda model: model.name)
def test_a_rhythm_is_found_or_its_error_is_in_the_interval(model: SensorModel, shape: Shape) -> None:
    found = [covered for trials in attempts(model, shape, 1, 21).values() for covered in believed(trials)]
    assert found
    assert np.mean(found) >= 0.85, "15 windows or more; the full count holds 0.93"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("model", TRIED, ids=lambda model: model.name)
def test_windows_that_are_not_found_are_covered_in_every_group_of_rate_shape_and_sensor(
    model: SensorModel, shape: Shape
) -> None:
    groups = {name: believed(trials) for name, trials in attempts(model, shape, 40, 22, most=80).items()}
    assert np.mean([covered for group in groups.values() for covered in group]) >= 0.93
    shares = {name: float(np.mean(group)) for name, group in groups.items() if len(group) >= 20}
    assert min(shares.values(), default=1.0) >= 0.85, shares


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_power_without_a_rhythm_is_not_called_aliased(count: int) -> None:
    rng = np.random.default_rng(23)
    called = []
    for number in range(count):
        model, length_s = TRIED[number % len(TRIED)], float(rng.choice(LENGTHS_S))
        worlds = (
            bursts(rng, length_s, burst_s=0.02, gap_s=float(np.exp(rng.uniform(np.log(0.02), np.log(2.0))))),
            waves(rng, length_s, scale_s=rng.uniform(0.3, 10.0)),
        )
        trial = attempt(worlds[number % 2], replace(model, counter=None), rng, length_s)
        called.append("aliased" in trial.found.reasons)
    assert np.mean(called) <= 0.05


def test_the_beat_of_a_rate_near_the_sensors_own_is_in_the_interval() -> None:
    """10.06/s on a sensor of 10/s: 3.6 cycles a minute, which leave percents of a burst's share in the mean."""
    rng = np.random.default_rng(24)
    trials = [attempt(_every(rng, 10.06), replace(A100, counter=None), rng, 60.0) for _ in range(40)]
    assert np.mean([trial.covered for trial in trials]) >= 0.93
    assert max(abs(trial.off) for trial in trials) > 0.01, "what is at stake"


def _every(rng: np.random.Generator, rate_hz: float) -> PowerWorld:
    return repeated(rng, 60.0, rate_hz, *burst(rng, rate_hz))


def lines_of(t_s: Floats) -> Floats:
    """Frequencies at which moments of a minute keep a phase."""
    return coherent_lines(At((t_s * 1e9).astype(np.int64)).pulse(Window(0, 60_000_000_000)))


def test_lines_of_a_rate_are_its_multiples_and_chance_has_none() -> None:
    rng = np.random.default_rng(25)
    constant = np.asarray(np.arange(0.01, 60.0, 1 / 7.5), dtype=np.float64)
    lines = lines_of(constant)
    assert lines[:4] == pytest.approx(7.5 * np.arange(1, 5), abs=0.003)
    by_chance = np.asarray(np.sort(rng.uniform(0.0, 60.0, 450)), dtype=np.float64)
    assert not lines_of(by_chance).size
    assert not lines_of(constant[:10]).size, "too few moments to tell"


def test_readings_that_are_fitted_some_at_a_time_leave_the_same_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def error_j() -> float | None:
        rng = np.random.default_rng(26)
        return attempt(_every(rng, 10.06), replace(A100, counter=None), rng, 60.0).found.integral_error_j

    at_once = error_j()
    monkeypatch.setattr(rhythm, "_SLAB", 100)
    assert at_once == pytest.approx(error_j(), rel=1e-9)
