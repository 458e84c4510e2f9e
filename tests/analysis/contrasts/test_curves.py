"""Joules over concurrency."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.contrasts.curves import crossing, saturation

CONCURRENCY = np.array([1.0, 4.0, 16.0, 64.0])


def test_own_and_shared_joules_come_back() -> None:
    curve = saturation(CONCURRENCY, 2.0 + 30.0 / CONCURRENCY)
    assert (curve.own_j, curve.shared_j) == pytest.approx((2.0, 30.0))
    assert curve.misfit < 1e-9


def test_what_does_not_saturate_that_way_has_a_misfit_and_no_negative_part() -> None:
    curve = saturation(CONCURRENCY, 30.0 / CONCURRENCY**1.5)
    assert curve.own_j == 0
    assert curve.misfit > 0.3


def test_the_crossover_is_where_the_lines_between_loads_meet() -> None:
    slope = np.array([0.3, 0.1, -0.1, -0.3])
    crossover = crossing(CONCURRENCY, np.tile(slope, (3, 1)) + np.array([[-1e-4], [0], [1e-4]]))
    assert crossover.concurrency == pytest.approx(8.0, rel=1e-3)
    assert (crossover.lo, crossover.hi) == pytest.approx((8.0, 8.0), rel=0.02)


def test_blocks_that_agree_to_the_last_digit_give_a_crossover_without_an_interval() -> None:
    crossover = crossing(CONCURRENCY, np.tile([0.3, 0.1, -0.1, -0.3], (3, 1)))
    assert crossover.concurrency == pytest.approx(8.0, rel=1e-3)
    assert (crossover.lo, crossover.hi, crossover.reason) == (None, None, "blocks_agree")


def test_one_that_costs_less_everywhere_never_crosses_and_two_crossings_are_not_one() -> None:
    always = np.tile([-0.3, -0.2, -0.1, -0.05], (3, 1))
    assert crossing(CONCURRENCY, always).reason == "no_crossover"
    twice = np.tile([-0.3, 0.2, 0.2, -0.05], (3, 1))
    assert crossing(CONCURRENCY, twice).reason == "several_crossovers"


def test_two_blocks_give_a_crossover_without_an_interval() -> None:
    crossover = crossing(CONCURRENCY, np.tile([0.3, 0.1, -0.1, -0.3], (2, 1)))
    assert (crossover.lo, crossover.hi, crossover.reason) == (None, None, "too_few_blocks")


def test_an_end_beyond_what_was_measured_is_not_made_up() -> None:
    rng = np.random.default_rng(1)
    logs = np.array([0.05, 0.02, -0.02, -0.05]) + rng.normal(0, 0.1, (3, 1))
    assert crossing(CONCURRENCY, logs).reason in {"beyond_measured", "no_crossover"}


@pytest.mark.parametrize("blocks", [3, 5])
def test_the_crossovers_interval_holds_the_truth_in_about_95_of_100_studies(blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    truth = np.array([0.4, 0.15, -0.15, -0.4])
    held = []
    for noise in rng.normal(0, 0.05, (600, blocks, 4)):
        crossover = crossing(CONCURRENCY, truth + noise)
        lo = -np.inf if crossover.lo is None else crossover.lo
        hi = np.inf if crossover.hi is None else crossover.hi
        held.append(lo <= 8.0 * 1.01 and hi >= 8.0 / 1.01)
    assert 0.92 <= float(np.mean(held)) <= 0.98
