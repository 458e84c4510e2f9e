"""Constant arrivals are swept evenly over a sensor's period, and the passes of closed loads begin at all its phases."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from configs.loads import Open
from loadgen.planning.arrivals import Arrivals
from loadgen.planning.dither import PassStarts

SECOND = 1_000_000_000


def offsets(qps: float, dither_s: float, seed: int = 1, count: int = 600) -> list[int]:
    load = Open(kind="open", qps=qps, arrivals="constant")
    return list(islice(Arrivals(load, seed, 1, 0, dither_s).offsets_ns(), count))


@pytest.mark.parametrize("qps", [1.0, 10.0, 10.06, 12.0, 40.0])
def test_dithered_arrivals_keep_their_order_and_rate_and_the_same_seed_gives_the_same(qps: float) -> None:
    due = offsets(qps, 0.1)
    assert due == sorted(due)
    assert due == offsets(qps, 0.1)
    assert due != offsets(qps, 0.1, seed=2)
    plain = offsets(qps, 0.0)
    late = np.array(due) - np.array(plain)
    assert late.min() >= 0
    assert late.max() <= 0.1 * SECOND


@pytest.mark.parametrize("qps", [5.0, 10.0, 12.0, 15.0])
def test_every_phase_of_the_sensors_period_gets_its_share_of_arrivals(qps: float) -> None:
    """Of 120 arrivals no stretch of the period has much more than its share; plain ones come at some phases alone."""
    phases = np.sort(np.array(offsets(qps, 0.1, count=120)) / (0.1 * SECOND) % 1)
    share = np.arange(120) / 120
    assert np.ptp(phases - share) * 120 < 6


def test_passes_begin_at_all_phases_and_cost_half_a_percent_at_most() -> None:
    starts = PassStarts(0.1, np.random.default_rng(3))
    assert starts.wait_s(0, 0, 0) == 0.0
    waits = [starts.wait_s(0, number, number * 10 * SECOND) for number in range(1, 30)]
    assert np.std(waits) == pytest.approx(0.1 / 12**0.5, rel=0.1)
    assert starts.wait_s(0, 29, 291 * SECOND) == 0.0, "the same pass"
    assert starts.wait_s(0, 30, 295 * SECOND) == 0.0, "so soon it would cost too much"
    assert PassStarts(0.0, np.random.default_rng(3)).wait_s(0, 1, 100 * SECOND) == 0.0
