"""Counter and integral of one device."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.energy.boundary import boundary_energies, primary
from analysis.energy.device import device_energy
from analysis.requests.window import Window
from tests.support.builders import IDEAL, MS, SECOND, series

WINDOW = Window(2 * SECOND + 10 * MS, 8 * SECOND + 20 * MS)


def ramp(size: int = 201) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Power that rises evenly from 100 W by 10 W a second, every 50 ms."""
    return 100.0 + 0.5 * np.arange(size, dtype=np.float64)


def test_the_integral_interpolates_the_edges_of_a_ramp_exactly() -> None:
    energy = device_energy(series(ramp()), WINDOW, IDEAL)
    a, b = WINDOW.start_ns / 1e9, WINDOW.end_ns / 1e9
    assert energy.energy_j == pytest.approx(100 * (b - a) + 5 * (b * b - a * a), rel=1e-12)
    assert energy.method == "integral"
    assert energy.reasons == ()


def test_a_modelled_counter_is_exact_at_every_reading_even_where_it_rests() -> None:
    energy = np.concatenate((np.zeros(100), 0.5 * np.arange(101)))
    joules = device_energy(
        series(np.full(201, 10.0), source="modelled", energy_j=energy), Window(0, 10 * SECOND)
    )
    assert joules.energy_j == 50.0
    assert joules.method == "counter"


def test_few_counter_steps_leave_the_integral_in_charge() -> None:
    energy = np.floor(np.arange(201) / 20) * 100.0  # one step a second
    joules = device_energy(series(np.full(201, 100.0), energy_j=energy), WINDOW)
    assert joules.method == "integral"
    assert joules.counter_j == pytest.approx(601, rel=0.01)
    assert joules.energy_j == pytest.approx(601)


@pytest.mark.parametrize(
    ("damage", "fault"), [(-1000.0, "counter_backwards"), (1e6, "counter_jumped"), (np.nan, "counter_silent")]
)
def test_a_broken_counter_is_caught_and_the_integral_stands_in(damage: float, fault: str) -> None:
    energy = 5.0 * np.arange(201, dtype=np.float64)
    if np.isnan(damage):
        energy[60:140] = energy[60]
    else:
        energy[100:] += damage
    joules = device_energy(series(np.full(201, 100.0), energy_j=energy), WINDOW)
    assert joules.counter_fault == fault
    assert joules.counter_j is None
    assert joules.method == "integral"
    assert joules.energy_j == pytest.approx(601)


def test_a_broken_counter_with_nothing_beside_it_gives_null_and_the_reason() -> None:
    energy = 5.0 * np.arange(201, dtype=np.float64)
    energy[100:] -= 1000
    joules = device_energy(series(np.full(201, np.nan), energy_j=energy), WINDOW)
    assert joules.energy_j is None
    assert joules.reasons == ("counter_backwards",)


def test_readings_that_end_before_the_window_give_null_and_power_gap() -> None:
    energy = device_energy(series(np.full(101, 100.0)), WINDOW)
    assert energy.energy_j is None
    assert energy.reasons == ("power_gap",)


def test_a_slow_meter_has_no_gap_between_its_own_readings() -> None:
    energy = device_energy(series(np.full(30, 100.0), period_ms=2000), Window(3 * SECOND, 50 * SECOND))
    assert energy.reasons == ()
    assert energy.energy_j == pytest.approx(4700)


def test_nan_readings_are_left_out_not_summed() -> None:
    power = np.full(201, 100.0)
    power[::3] = np.nan
    assert device_energy(series(power), WINDOW).energy_j == pytest.approx(601)


def test_idle_power_is_that_of_the_phase_and_missing_without_one() -> None:
    power = np.concatenate((np.full(41, 30.0), np.full(160, 100.0)))
    both = boundary_energies([series(power)], Window(4 * SECOND, 9 * SECOND), Window(0, 2 * SECOND), None)
    assert both[0].idle_before_w == pytest.approx(30)
    assert both[0].idle_after_w is None


def test_a_device_that_is_missing_makes_the_sum_null() -> None:
    energies = boundary_energies(
        [series(np.full(201, 100.0)), series(np.full(20, 100.0))], WINDOW, None, None
    )
    assert len(energies) == 1
    assert energies[0].energy_j is None
    assert energies[0].curves == ()


def test_measured_power_is_shown_before_modelled() -> None:
    energies = boundary_energies(
        [series(np.full(201, 1.0), source="modelled"), series(np.full(201, 1.0), source="rapl")],
        WINDOW,
        None,
        None,
    )
    chosen = primary(energies)
    assert chosen is not None
    assert chosen.source == "rapl"
    assert primary([]) is None
