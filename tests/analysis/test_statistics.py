"""Intervals of paired ratios."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics import paired_ratio


def test_the_interval_is_student_t_on_log_ratios() -> None:
    found = paired_ratio([2.0, 4.0, 8.0], [1.0, 1.0, 1.0])
    half = 4.302653 * np.log(2) / np.sqrt(3)  # t(2) at 97.5 %, sd of log(2, 4, 8) is log 2
    assert found.ratio == pytest.approx(4.0)
    assert found.lo == pytest.approx(4 * np.exp(-half), rel=1e-6)
    assert found.hi == pytest.approx(4 * np.exp(half), rel=1e-6)
    assert found.reasons == ()


def test_below_three_blocks_there_is_a_ratio_and_a_reason_but_no_interval() -> None:
    found = paired_ratio([2.0, 8.0], [1.0, 1.0])
    assert found.ratio == pytest.approx(4.0)
    assert (found.lo, found.hi) == (None, None)
    assert found.reasons == ("too_few_blocks",)


def test_of_no_block_there_is_no_ratio() -> None:
    found = paired_ratio([], [])
    assert (found.ratio, found.blocks, found.reasons) == (None, 0, ("no_valid_block",))


@pytest.mark.parametrize("blocks", [3, 5])
def test_nominal_95_percent_covers_about_95_of_100_worlds(blocks: int) -> None:
    rng = np.random.default_rng(7)
    worlds = np.exp(0.3 + 0.05 * rng.normal(size=(1000, blocks)))
    intervals = [paired_ratio(list(world), [1.0] * blocks) for world in worlds]
    covered = sum(one.lo < np.exp(0.3) < one.hi for one in intervals if one.lo and one.hi)
    assert 925 <= covered <= 972  # three standard errors and a bit around 950
