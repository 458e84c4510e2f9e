"""Conservation, and what the rules mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.attribution.rules import by_tokens, flights, in_flight
from analysis.energy.integral import Curve
from analysis.requests.window import Window
from tests.support.builders import SECOND

WINDOW = Window(10 * SECOND, 20 * SECOND)
LIFE = st.tuples(st.integers(0, 30 * SECOND), st.integers(0, 15 * SECOND))


def curve(power_w: list[float]) -> Curve:
    """Equal stretches of constant power over the window."""
    steps = np.asarray(power_w, dtype=np.float64) * WINDOW.seconds / len(power_w)
    return Curve(np.linspace(0, WINDOW.seconds, len(power_w) + 1), np.concatenate(([0.0], np.cumsum(steps))))


@settings(max_examples=200, deadline=None)
@given(
    lives=st.lists(LIFE, max_size=60),
    power=st.lists(st.floats(0, 1e4), min_size=1, max_size=30),
)
def test_in_flight_conserves_whatever_overlaps_straddles_or_has_no_length(
    lives: list[tuple[int, int]], power: list[float]
) -> None:
    start = np.array([sent for sent, _ in lives], dtype=np.int64)
    end = start + np.array([length for _, length in lives], dtype=np.int64)
    rising = curve(power)
    split = in_flight(flights(start, end, WINDOW), [rising])
    assert split.total_j == pytest.approx(rising.total_j, rel=1e-9, abs=1e-9)
    assert (split.energy_j >= -1e-9 * rising.total_j).all()
    outside = (end <= WINDOW.start_ns) | (start >= WINDOW.end_ns)
    assert (split.energy_j[outside] == 0).all()


@given(tokens=st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e6)), max_size=60), joules=st.floats(0, 1e9))
def test_tokens_conserves(tokens: list[float], joules: float) -> None:
    split = by_tokens(np.array(tokens, dtype=np.float64), joules)
    assert split.total_j == pytest.approx(joules, rel=1e-9)


def test_two_in_flight_halve_the_power_and_nobody_is_charged_for_idle() -> None:
    start = np.array([10, 14, 16]) * SECOND
    end = (
        np.array([16, 16, 16]) * SECOND
    )  # alone for 4 s, together for 2 s, the third without length; then idle
    split = in_flight(flights(start, end, WINDOW), [curve([100.0])])
    assert split.energy_j.tolist() == pytest.approx([500.0, 100.0, 0.0])
    assert split.unattributed_j == pytest.approx(400.0)


def test_devices_are_charged_together() -> None:
    start, end = np.array([0]), np.array([30 * SECOND])
    split = in_flight(flights(start, end, WINDOW), [curve([100.0]), curve([0.0, 50.0])])
    assert split.energy_j.tolist() == pytest.approx([1250.0])


def test_tokens_go_by_tokens_and_without_any_all_is_unattributed() -> None:
    assert by_tokens(np.array([1.0, 3.0]), 8.0).energy_j.tolist() == [2.0, 6.0]
    assert by_tokens(np.array([0.0, 0.0]), 8.0).unattributed_j == 8.0
