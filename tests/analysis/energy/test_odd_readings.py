"""However few, late or odd readings are, joules are finite or missing with a reason, and nothing divides by zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.energy.device import device_energy
from analysis.energy.integral import PowerSeries
from analysis.energy.moments import At
from analysis.energy.sampling import holes_error_j, sampling_error, updates
from analysis.energy.sensor import Sensor, Sensors
from analysis.requests.window import Window
from configs.meters import Meters
from tests.support.builders import MS, SECOND

START_NS = 1000 * SECOND
SENSORS = st.builds(
    Sensor,
    update_s=st.sampled_from([0.0, 0.02, 0.1, 1.0]),
    window_s=st.sampled_from([0.0, 0.01, 0.025, 1.0]),
    lag_s=st.sampled_from([0.0, 0.1]),
    step_s=st.sampled_from([0.0, 0.1]),
    clock_s=st.sampled_from([0.0, 0.2]),
)
READINGS = st.lists(
    st.tuples(
        st.integers(-40, 100),
        st.sampled_from([0.0, 0.001, 70.0, 400.0, 3.7e6]),
        st.sampled_from([-5.0, 0.0, 8.0]),
    ),
    max_size=60,
)
"""(number of 50 ms, watts, what the counter has moved by): of one time, out of reach of the window, and few, too."""


def known_of(sensor: Sensor) -> Sensors:
    channel = {"update_s": sensor.update_s, "window_s": sensor.window_s, "lag_s": sensor.lag_s}
    return Sensors({"d": {"power_w": channel, "energy_j": {"step_s": sensor.step_s}}}, Meters())


@given(
    READINGS, SENSORS, st.sampled_from(["nvml", "rapl", "modelled", "external"]), st.integers(1, 4 * SECOND)
)
@settings(max_examples=150, deadline=None)
def test_joules_of_any_readings_are_finite_or_missing_with_a_reason(
    readings: list[tuple[int, float, float]], sensor: Sensor, source: str, length_ns: int
) -> None:
    readings.sort(key=lambda reading: reading[0])
    t_ns = START_NS + 50 * MS * np.array([place for place, _, _ in readings], dtype=np.int64)
    power_w = np.array([watts for _, watts, _ in readings])
    energy_j = np.cumsum([moved for _, _, moved in readings], dtype=np.float64)
    series = PowerSeries("d", "gpu", source, t_ns, t_ns, power_w, t_ns, energy_j)
    events_ns = START_NS + np.arange(0, length_ns, 100 * MS, dtype=np.int64)
    energy = device_energy(series, Window(START_NS, START_NS + length_ns), known_of(sensor), (At(events_ns),))
    assert energy.energy_j is not None or energy.reasons
    for joules in (energy.energy_j, energy.error_j, energy.counter_j, energy.integral_j):
        assert joules is None or np.isfinite(joules)


@pytest.mark.parametrize("t_s", [[1.0], [1.0, 1.0], [1.0, 1.0, 2.0], [1.0] * 30, list(np.linspace(0, 3, 30))])
@pytest.mark.parametrize("sensor", [Sensor(), Sensor(update_s=0.0, window_s=0.0)])
def test_a_sensors_updates_of_one_reading_or_of_one_time_are_one(t_s: list[float], sensor: Sensor) -> None:
    at_s = np.array(t_s, dtype=np.float64)
    readings = updates(at_s, np.linspace(0.0, 10.0, at_s.size), sensor)
    assert readings.t_s.size <= np.unique(at_s).size + 1
    error = sampling_error(readings, sensor)
    assert error is None or np.isfinite(error.unseen_j2_per_s + error.edges_j2)
    assert np.isfinite(holes_error_j(at_s, readings, sensor))
