"""Readings that no device gives spoil the energy, and those of real devices do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.energy.boundary import boundary_energies
from analysis.energy.device import device_energy
from analysis.energy.integral import PowerSeries
from analysis.energy.moments import At
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window
from tests.support.builders import IDEAL, MS, SECOND, series

WINDOW = Window(5 * SECOND, 15 * SECOND)
EVENTS = (At(np.arange(WINDOW.start_ns, WINDOW.end_ns, 100 * MS)),)
LIMITED = Sensors(IDEAL.calibration, IDEAL.meters, {"d": 700.0})


def loaded(power_w: float = 400.0, idle_w: float = 70.0) -> PowerSeries:
    """Five seconds of idle, ten of load, five of idle, at 20 Hz."""
    watts = np.concatenate((np.full(100, idle_w), np.full(200, power_w), np.full(100, idle_w)))
    return series(watts)


def reasons(one: PowerSeries, sensors: Sensors = LIMITED) -> set[str]:
    """Those that are about implausible readings."""
    return {code for code in device_energy(one, WINDOW, sensors, EVENTS).reasons if code.startswith("power_")}


def with_reading(one: PowerSeries, watts: float) -> PowerSeries:
    """One reading in the middle of the window is another."""
    power_w = one.power_w.copy()
    power_w[200] = watts
    return replace(one, power_w=power_w)


def test_readings_of_a_real_board_are_plausible() -> None:
    assert reasons(loaded()) == set()
    assert reasons(with_reading(loaded(), 1.43 * 700.0)) == set(), "the highest real peak over a limit"


@pytest.mark.parametrize("watts", [3_700_000.0, 2101.0, -2.0])
def test_a_reading_that_the_board_cannot_draw_is_impossible(watts: float) -> None:
    assert reasons(with_reading(loaded(), watts)) == {"power_impossible"}


def test_without_a_limit_the_bound_is_that_of_any_device_and_a_wall_meter_has_one_of_its_own() -> None:
    high = with_reading(loaded(), 5001.0)
    assert reasons(high, IDEAL) == {"power_impossible"}
    assert reasons(replace(high, boundary="host", source="external"), IDEAL) == set()


def test_power_that_is_always_zero_is_said() -> None:
    assert "power_zero" in reasons(loaded(0.0))
    assert reasons(loaded(0.0, 0.0)) == {"power_zero", "power_stuck"}


def test_power_that_never_moves_though_the_load_does_is_stuck() -> None:
    assert reasons(loaded(70.0, 70.0)) == {"power_stuck"}
    assert reasons(loaded(70.001, 70.0)) == set(), "a milliwatt is a reading of its own"


def test_a_constant_reading_is_not_called_stuck_where_idle_or_the_load_was_not_seen() -> None:
    window = Window(0, 20 * SECOND - 50 * MS)
    constant = loaded(70.0, 70.0)
    assert "power_stuck" not in device_energy(constant, window, LIMITED, EVENTS).reasons
    assert "power_stuck" not in device_energy(constant, WINDOW, LIMITED).reasons


def test_a_power_limit_that_was_changed_meanwhile_is_said_and_one_that_stood_is_not() -> None:
    assert reasons(replace(loaded(), limits_w=(500.0, 700.0))) == {"power_limit_changed"}
    assert reasons(replace(loaded(), limits_w=(699.9, 700.0))) == set(), "boards round theirs"


def test_a_trace_s_own_limit_is_the_bound_where_the_manifest_names_none() -> None:
    high = replace(with_reading(loaded(), 1300.0), limits_w=(400.0,))
    assert reasons(high, IDEAL) == {"power_impossible"}


def test_readings_in_step_with_the_power_are_not_called_stuck_where_the_board_s_average_moved() -> None:
    still = loaded(70.0, 70.0)
    moved = np.where(np.arange(still.t_ns.size) < 100, 70.0, 71.0)
    assert reasons(replace(still, average_t_ns=still.t_ns, average_w=moved)) == set()


def noisy() -> PowerSeries:
    """As ``loaded``, for a minute, on a board whose readings never stand still."""
    rng = np.random.default_rng(5)
    watts = np.concatenate((np.full(100, 70.0), np.full(1200, 400.0), np.full(100, 70.0)))
    return series(np.round(watts + rng.normal(0.0, 2.0, watts.size), 3))


MINUTE = Window(5 * SECOND, 65 * SECOND)
IN_A_MINUTE = (At(np.arange(MINUTE.start_ns, MINUTE.end_ns, 100 * MS)),)


def reasons_of_a_minute(one: PowerSeries) -> tuple[str, ...]:
    return tuple(
        code for code in device_energy(one, MINUTE, LIMITED, IN_A_MINUTE).reasons if code != "aliased"
    )


@pytest.mark.parametrize(
    ("first", "last", "watts"),
    [
        (0, 1250, 70.0),  # from the beginning into the load
        (700, 1400, 401.0),  # from the load on
        (90, 1310, 70.0),  # from just before the load until just after it
        (300, 800, 399.0),  # within it, for 25 s
    ],
)
def test_a_sensor_that_stands_still_for_a_part_of_the_time_is_stuck(
    first: int, last: int, watts: float
) -> None:
    still = noisy()
    still.power_w[first:last] = watts
    assert reasons_of_a_minute(noisy()) == ()
    assert reasons_of_a_minute(still) == ("power_stuck",)


def test_a_stretch_of_zeros_as_long_as_a_gap_is_said_and_a_single_zero_is_in_the_interval() -> None:
    for count, expected in ((1, ()), (30, ("power_zero",))):
        zeros = noisy()
        zeros.power_w[600 : 600 + count] = 0.0
        assert reasons_of_a_minute(zeros) == expected


@pytest.mark.parametrize("place", [98, 1301])
def test_an_impossible_reading_beside_the_window_spoils_its_edge(place: int) -> None:
    high = noisy()
    high.power_w[place] = 3_700_000.0
    assert reasons_of_a_minute(high) == ("power_impossible",)


@pytest.mark.parametrize("watts", [3_700_000.0, -2.0])
def test_idle_power_of_impossible_readings_is_missing(watts: float) -> None:
    noise = noisy()
    noise.power_w[40] = watts
    [found] = boundary_energies(
        [noise], MINUTE, Window(0, 4 * SECOND), Window(66 * SECOND, 69 * SECOND), LIMITED
    )
    assert found.reasons == ()
    assert found.idle_before_w is None
    assert found.idle_after_w == pytest.approx(70.0, abs=1.0)


@pytest.mark.parametrize("average_w", [0.0, 70.0, 3_700_000.0])
def test_a_slow_average_that_no_board_gives_takes_the_place_of_no_reading(average_w: float) -> None:
    noise = noisy()
    channel = {"update_s": 0.1, "window_s": 1.0, "lag_s": 0.0}
    sensors = Sensors(
        {"d": {**IDEAL.calibration["d"], "power_avg_w": channel}}, IDEAL.meters, LIMITED.limits_w
    )
    seen = replace(noise, average_t_ns=noise.t_ns, average_w=np.full(noise.t_ns.size, average_w))
    energy = device_energy(seen, MINUTE, sensors, IN_A_MINUTE)
    assert energy.method == "integral"
    assert energy.energy_j == pytest.approx(400.0 * 60, rel=0.005)
