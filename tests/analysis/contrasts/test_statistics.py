"""Intervals of paired ratios."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.arrays import Floats
from analysis.contrasts.statistics import (
    RatioEstimate,
    holm,
    minimum_detectable,
    paired_ratio,
    student_t,
    unpaired_ratio,
)


def test_the_interval_is_student_t_on_log_ratios() -> None:
    ratio = paired_ratio([2.0, 4.0, 8.0], [1.0, 1.0, 1.0])
    half = 4.302653 * np.log(2) / np.sqrt(3)  # t(2) at 97.5 %, sd of log(2, 4, 8) is log 2
    assert ratio.ratio == pytest.approx(4.0)
    assert ratio.lo == pytest.approx(4 * np.exp(-half), rel=1e-6)
    assert ratio.hi == pytest.approx(4 * np.exp(half), rel=1e-6)
    assert ratio.reasons == ()


def test_below_three_blocks_there_is_a_ratio_and_a_reason_but_no_interval() -> None:
    ratio = paired_ratio([2.0, 8.0], [1.0, 1.0])
    assert ratio.ratio == pytest.approx(4.0)
    assert (ratio.lo, ratio.hi) == (None, None)
    assert ratio.reasons == ("too_few_blocks",)


def test_of_no_block_there_is_no_ratio() -> None:
    ratio = paired_ratio([], [])
    assert (ratio.ratio, ratio.blocks, ratio.reasons) == (None, 0, ("no_valid_block",))


STUDIES = 10_000


def coverage(logs: Floats, truth: float) -> float:
    """The share of studies (a row each) whose 95 % interval holds the truth."""
    centre, half = student_t(logs)
    return float(np.mean(np.abs(centre - truth) <= half))


@pytest.mark.parametrize("blocks", [3, 5, 11])
def test_95_percent_intervals_hold_the_truth_in_94_to_96_percent_of_10000_studies(blocks: int) -> None:
    logs = np.random.default_rng(7).normal(0.3, 0.05, (STUDIES, blocks))
    assert 0.94 <= coverage(logs, 0.3) <= 0.96
    first = paired_ratio(np.exp(logs[0]).tolist(), [1.0] * blocks)  # what a study gets is the same interval
    centre, half = student_t(logs[:1])
    assert (first.lo, first.hi) == pytest.approx((np.exp(centre - half)[0], np.exp(centre + half)[0]))


def test_drift_common_to_both_sides_cancels_within_blocks_and_drift_of_one_side_does_not() -> None:
    rng = np.random.default_rng(8)
    noise = rng.normal(0.0, 0.02, (2, STUDIES, 5))
    common = np.linspace(0.0, 0.3, 5)
    assert 0.94 <= coverage((noise[0] + common) - (noise[1] + common), 0.0) <= 0.96
    assert coverage(noise[0] + common - noise[1], 0.0) < 0.6


@pytest.mark.parametrize("blocks", [3, 5, 11])
def test_a_difference_that_is_called_visible_is_seen_in_80_of_100_studies(blocks: int) -> None:
    rng = np.random.default_rng(9)
    spread = rng.normal(0.0, 0.05, (400, blocks))
    promised = np.array([minimum_detectable(half_width) for half_width in spread])
    effect = float(np.sqrt(np.mean(np.square(promised / spread.std(axis=1, ddof=1))))) * 0.05
    logs = rng.normal(effect, 0.05, (STUDIES, blocks))
    centre, half = student_t(logs)
    assert float(np.mean(np.abs(centre) > half)) == pytest.approx(0.8, abs=0.015)


def test_p_is_below_5_percent_exactly_where_the_interval_leaves_out_1() -> None:
    rng = np.random.default_rng(10)
    for logs in rng.normal(0.05, 0.05, (200, 4)):
        ratio = paired_ratio(np.exp(logs).tolist(), [1.0] * 4)
        assert ratio.p is not None
        assert ratio.lo is not None
        assert ratio.hi is not None
        assert (ratio.p < 0.05) == (not ratio.lo <= 1 <= ratio.hi)


def test_holm_is_holms() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("count", [2, 10])
def test_holm_finds_nothing_where_there_is_nothing_in_95_of_100_families(count: int) -> None:
    rng = np.random.default_rng(11)
    false = [min(holm(rng.uniform(size=count).tolist())) < 0.05 for _ in range(3000)]
    assert float(np.mean(false)) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("estimate", [paired_ratio, unpaired_ratio])
@pytest.mark.parametrize("values", [[2.0] * 3, [6.0] * 3, [2.0, 2.0, 2.0 * (1 + 1e-13)]])
def test_blocks_that_are_all_equal_have_a_ratio_and_no_interval_of_zero_width(
    estimate: Callable[[list[float], list[float]], RatioEstimate], values: list[float]
) -> None:
    mean = estimate(values, [2.0, 2.0, 2.0])
    assert mean.ratio == pytest.approx(values[0] / 2)
    assert (mean.lo, mean.hi, mean.p, mean.minimum_detectable) == (None, None, None, None)
    assert mean.reasons == ("blocks_agree",)


def test_welch_holds_its_coverage_where_the_two_runs_spread_differently() -> None:
    rng = np.random.default_rng(20)
    held = 0
    for _ in range(2000):
        values, references = np.exp(rng.normal(0.3, 0.05, 3)), np.exp(rng.normal(0.1, 0.01, 6))
        ratio = unpaired_ratio(list(values), list(references))
        assert ratio.lo is not None
        assert ratio.hi is not None
        held += ratio.lo <= np.exp(0.2) <= ratio.hi
    assert 0.93 <= held / 2000 <= 0.97
