"""Window energy from simulated sensors against worlds whose joules are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.energy.device import device_energy
from analysis.energy.moments import At
from analysis.energy.sensor import BOARD_FACTOR, Sensors
from analysis.requests.window import Window
from configs.meters import GainSettings, Meters
from tests.golden.power_trials import BOARD, START_NS, Trial, attempt, nanoseconds, series_of
from tests.golden.power_worlds import PowerWorld, bursts, periodic, steady, waves
from tests.golden.sensors import (
    A100,
    H100_AVERAGE,
    H100_INSTANT,
    SENSORS,
    V100,
    Counter,
    SensorModel,
    observe,
)

SEES_A_QUARTER = (A100, H100_INSTANT)
CAN_ALIAS = (V100, A100, H100_INSTANT)
FULL = pytest.param(1.0, marks=pytest.mark.long, id="full")
PART = pytest.param(0.1, id="part")


def without_counter(model: SensorModel) -> SensorModel:
    """Its power alone, so that the counter cannot help."""
    return replace(model, counter=None)


def aperiodic(rng: np.random.Generator, length_s: float) -> PowerWorld:
    """One of the loads that no sensor can keep in step with."""
    kind = rng.integers(5)
    if kind < 2:
        return bursts(rng, length_s)
    if kind == 2:
        return bursts(rng, length_s, burst_s=0.010, gap_s=0.040)
    if kind == 3:
        return bursts(rng, length_s, burst_s=rng.uniform(0.02, 0.3), gap_s=rng.uniform(0.1, 0.5))
    return waves(rng, length_s, scale_s=rng.uniform(0.3, 10.0))


def in_step(rng: np.random.Generator, length_s: float, model: SensorModel) -> PowerWorld:
    """Periodic with the sensor (as it is polled) or a multiple of its rate; drifts by at most a cycle a window."""
    rate_hz = int(rng.integers(1, 4)) / max(model.update_s, 0.05) + rng.uniform(-1.0, 1.0) / length_s
    return periodic(rng, length_s, 1 / rate_hz, duty=rng.uniform(0.2, 0.8))


@pytest.mark.parametrize("counter", [None, "all", "sensor"])
@pytest.mark.parametrize("model", SENSORS, ids=lambda model: model.name)
def test_steady_load_is_right_to_one_percent_at_any_phase(
    model: SensorModel, counter: Counter | None
) -> None:
    rng = np.random.default_rng(1)
    for length_s in (5.0, 5.37, 12.0, 60.0):
        for _ in range(10):
            trial = attempt(steady(length_s), replace(model, counter=counter), rng, length_s)
            assert trial.found.reasons == ()
            assert abs(trial.off) < 0.01
            assert trial.width < 0.02


@pytest.mark.parametrize("counter", [None, "all", "sensor"])
@pytest.mark.parametrize("model", SENSORS, ids=lambda model: model.name)
def test_steps_of_power_at_the_windows_edges_are_in_the_interval(
    model: SensorModel, counter: Counter | None
) -> None:
    """A load without warm-up: idle until the window begins, and from where it ends."""
    rng = np.random.default_rng(14)
    trials = []
    for length_s in (5.0, 10.0, 30.0):
        for _ in range(10):
            begins, ends = rng.uniform(-0.003, 0.003, 2) + np.array([0.0, length_s])
            world = PowerWorld(
                np.array([-12.0, begins, ends, length_s + 12.0]), np.array([70.0, 350.0, 70.0])
            )
            trials.append(attempt(world, replace(model, counter=counter), rng, length_s))
    assert np.mean([trial.covered for trial in trials]) >= 0.9


@pytest.mark.parametrize("share", [PART, FULL])
@pytest.mark.parametrize("model", SEES_A_QUARTER, ids=lambda model: model.name)
def test_random_bursts_are_right_to_one_and_a_half_percent_after_a_minute(
    model: SensorModel, share: float
) -> None:
    rng = np.random.default_rng(2)
    count = int(2000 * share)
    trials = [attempt(bursts(rng, 60.0), without_counter(model), rng, 60.0) for _ in range(count)]
    assert np.percentile([abs(trial.off) for trial in trials], 95) < 0.015
    assert max(trial.width for trial in trials) < 0.03


@pytest.mark.parametrize("share", [PART, FULL])
def test_the_sampling_interval_covers_the_truth_and_is_narrow(share: float) -> None:
    rng = np.random.default_rng(3)
    trials = []
    for _ in range(int(2000 * share)):
        model = SENSORS[rng.integers(len(SENSORS))]
        trials.append(attempt(aperiodic(rng, 60.0), without_counter(model), rng, 60.0))
    covered = np.mean([trial.covered for trial in trials])
    slack = 0.0 if share == 1.0 else 0.03  # two standard errors of a share, from a tenth of the worlds
    assert 0.92 - slack <= covered <= 0.98 + slack
    assert max(trial.width for trial in trials) < 0.03


@pytest.mark.parametrize("share", [PART, FULL])
@pytest.mark.parametrize("counter", ["all", "sensor"])
def test_with_a_counter_the_interval_still_covers_whatever_the_counter_sums(
    counter: Counter, share: float
) -> None:
    rng = np.random.default_rng(4)
    trials = []
    for _ in range(int(1000 * share)):
        model = replace(SENSORS[rng.integers(len(SENSORS))], counter=counter)
        trials.append(attempt(aperiodic(rng, 60.0), model, rng, 60.0))
    assert {trial.found.method for trial in trials} == {"counter"}
    assert np.mean([trial.covered for trial in trials]) >= 0.92
    assert np.percentile([trial.width for trial in trials], 97) < 0.03
    if counter == "all":
        assert np.std([trial.off for trial in trials]) < 0.001


def test_a_counter_that_sees_everything_narrows_the_interval_and_one_that_does_not_never() -> None:
    rng = np.random.default_rng(5)
    widths = {}
    for counter in (None, "all", "sensor"):
        trials = [attempt(bursts(rng, 60.0), replace(A100, counter=counter), rng, 60.0) for _ in range(40)]
        widths[counter] = float(np.median([trial.width for trial in trials]))
    assert widths["all"] < 0.3 * widths[None]
    assert widths["sensor"] > 0.9 * widths[None]


def test_readings_from_a_slow_average_are_put_where_they_belong_in_time() -> None:
    """Power that rises through the window: an average over a second is half a second behind."""
    edges = np.linspace(-12.0, 74.0, 861)
    rising = PowerWorld(edges, np.asarray(100.0 + 5.0 * (edges[:-1] + 12.0), dtype=np.float64))
    model = replace(H100_AVERAGE, counter=None, lag_s=0.2)
    trial = attempt(rising, model, np.random.default_rng(6), 60.0)
    late = 5.0 * (0.5 + 0.2 + 0.05) * 60.0 / trial.true_j
    assert abs(trial.off) < 0.1 * late


def _ratio(trials: tuple[Trial, Trial]) -> float:
    one, other = (trial.found.energy_j for trial in trials)
    assert one is not None
    assert other is not None
    return one / other


def test_a_gain_error_stands_beside_the_sampling_error_and_cancels_in_ratios() -> None:
    model = replace(A100, counter="all", gain=1.04)
    rng = np.random.default_rng(7)
    low, high = (attempt(steady(60.0, watts), model, rng, 60.0) for watts in (200.0, 500.0))
    for trial in (low, high):
        assert trial.off == pytest.approx(0.04, abs=0.002)
        assert trial.found.gain.half_width == BOARD_FACTOR
        assert trial.width < 0.02
    assert _ratio((low, high)) == pytest.approx(low.true_j / high.true_j, rel=0.005)


def test_a_calibration_factor_removes_the_gain_error_and_narrows_it() -> None:
    model = replace(A100, counter="all", gain=1.04)
    meters = Meters(gain={BOARD: GainSettings(factor=1 / 1.04, uncertainty=0.005)})
    trial = attempt(steady(60.0), model, np.random.default_rng(8), 60.0, meters=meters)
    assert abs(trial.off) < 0.002
    assert trial.found.gain.half_width == 0.005
    assert trial.found.counter_j == pytest.approx(trial.true_j, rel=0.002)
    assert trial.found.integral_j == pytest.approx(trial.true_j, rel=0.002)


@pytest.mark.parametrize("share", [PART, FULL])
def test_power_in_step_with_the_sensor_is_found_or_its_drift_is_in_the_interval(share: float) -> None:
    rng = np.random.default_rng(9)
    found, held = [], []
    for _ in range(int(2000 * share)):
        model, length_s = CAN_ALIAS[rng.integers(len(CAN_ALIAS))], float(rng.uniform(20.0, 60.0))
        trial = attempt(in_step(rng, length_s, model), without_counter(model), rng, length_s)
        found.append("aliased" in trial.found.reasons)
        held.append(found[-1] or trial.covered)
    assert np.mean(found) >= 0.8, "a drift below 0.8 cycles stands still"
    assert np.mean(held) >= 0.98


@pytest.mark.parametrize("share", [PART, FULL])
def test_other_power_is_not_called_aliased(share: float) -> None:
    rng = np.random.default_rng(10)
    found = []
    for _ in range(int(2000 * share)):
        model, length_s = SENSORS[rng.integers(len(SENSORS))], float(rng.uniform(20.0, 60.0))
        other = periodic(rng, length_s, 1 / rng.uniform(5.2, 9.5), duty=rng.uniform(0.2, 0.8))
        world = aperiodic(rng, length_s) if rng.random() < 0.8 else other
        found.append("aliased" in attempt(world, without_counter(model), rng, length_s).found.reasons)
    assert np.mean(found) <= 0.05


def test_power_in_step_is_off_by_a_fifth_or_more_and_never_valid() -> None:
    """What is at stake: a 100 ms square wave on a sensor that looks at 25 ms of each 100."""
    rng = np.random.default_rng(11)
    trials = [attempt(periodic(rng, 60.0, 0.1), without_counter(A100), rng, 60.0) for _ in range(20)]
    assert max(abs(trial.off) for trial in trials) > 0.2
    assert all("aliased" in trial.found.reasons for trial in trials)


def _both(world: PowerWorld, rng: np.random.Generator, *, calibrated: bool) -> Trial:
    """An H100 without a counter over a minute: its instantaneous reading and its average, of the same phase."""
    seed = int(rng.integers(1 << 30))
    instant, average = (
        series_of(observe(world, without_counter(model), np.random.default_rng(seed), -2.0, 62.0))
        for model in (H100_INSTANT, H100_AVERAGE)
    )
    series = replace(instant, average_t_ns=average.power_t_ns, average_w=average.power_w)
    known = {"update_s": 0.1, "lag_s": 0.0}
    slow = {**known, "window_s": 1.0} if calibrated else known
    sensors = Sensors({BOARD: {"power_w": {**known, "window_s": 0.025}, "power_avg_w": slow}}, Meters())
    window = Window(START_NS, START_NS + 60_000_000_000)
    energy = device_energy(series, window, sensors, (At(nanoseconds(world.event_s)),))
    return Trial(energy, world.energy_j(0.0, 60.0))


def test_an_average_that_is_known_to_see_everything_is_used_instead_of_short_looks() -> None:
    rng = np.random.default_rng(13)
    worlds = [bursts(rng, 60.0) for _ in range(40)]
    known, unknown = ([_both(world, rng, calibrated=on) for world in worlds] for on in (True, False))
    assert {trial.found.method for trial in known} == {"average"}
    assert {trial.found.method for trial in unknown} == {"integral"}
    errors = [np.percentile([abs(trial.off) for trial in trials], 95) for trials in (known, unknown)]
    assert errors[0] < 0.2 * errors[1]
    assert max(trial.width for trial in known) < 0.2 * min(trial.width for trial in unknown)
    assert np.mean([trial.covered for trial in known]) > 0.85
    for trial in known:
        curve = trial.found.curve
        assert curve is not None
        assert curve.total_j == pytest.approx(trial.found.energy_j, rel=1e-12)
        assert np.diff(curve.t_s).max() < 0.11  # the readings' own shape, not the average's


@pytest.mark.parametrize("period_s", [0.1, 0.1 * 2 / 3])
def test_a_slow_average_convicts_power_in_step_and_replaces_it_only_where_it_is_known_to_see_everything(
    period_s: float,
) -> None:
    """Bursts of 25 ms: at 100 ms the two channels disagree at most phases; at two thirds of that they agree."""
    rng = np.random.default_rng(12)
    worlds = [periodic(rng, 60.0, period_s, duty=0.25) for _ in range(20)]
    known, unknown = ([_both(world, rng, calibrated=on) for world in worlds] for on in (True, False))
    for trial in known:
        assert trial.found.method == "average"
        assert trial.found.reasons == ()
        assert abs(trial.off) < 0.01
    assert all("aliased" in trial.found.reasons for trial in unknown if abs(trial.off) > 0.02)
    if period_s == 0.1:
        assert all("aliased" in trial.found.reasons for trial in unknown)
        assert any(abs(trial.off) > 0.1 for trial in unknown)
