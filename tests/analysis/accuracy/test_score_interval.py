"""Intervals of pass@1 and of its differences: published ones where there are some, and coverage by simulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from analysis.accuracy.score_interval import score_interval
from analysis.arrays import Floats

Z2 = 1.959964**2
Draw = Callable[[np.random.Generator], Floats]
STUDIES = 600


def paired(gained: int, lost: int, tasks: int) -> Floats:
    return np.array([1.0] * gained + [-1.0] * lost + [0.0] * (tasks - gained - lost))


@pytest.mark.parametrize(("solved", "tasks"), [(0, 24), (3, 24), (24, 24), (80, 164), (1, 1)])
def test_of_tasks_that_are_solved_or_not_it_is_wilsons_interval(solved: int, tasks: int) -> None:
    share = solved / tasks
    centre = (share + Z2 / 2 / tasks) / (1 + Z2 / tasks)
    half = np.sqrt(Z2 * (share * (1 - share) / tasks + Z2 / 4 / tasks**2)) / (1 + Z2 / tasks)
    values = np.array([1.0] * solved + [0.0] * (tasks - solved))
    assert score_interval(values, 0, 1) == pytest.approx((centre - half, centre + half), abs=1e-5)


def test_of_pairs_it_is_tangos_interval_also_where_no_task_changed() -> None:
    assert score_interval(paired(40, 20, 160), -1, 1) == pytest.approx((0.030865, 0.218064), abs=1e-5)
    half = Z2 / (164 + Z2)
    assert score_interval(paired(0, 0, 164), -1, 1) == pytest.approx((-half, half), abs=1e-5)


def test_what_was_tested_at_an_end_has_the_variance_of_tangos_restricted_likelihood() -> None:
    gained, lost, tasks = 7, 3, 24
    for end in score_interval(paired(gained, lost, tasks), -1, 1):
        # The likeliest share of lost tasks where gained - lost is `end` (Tango 1998), by trying all of them.
        lost_share = np.linspace(max(0.0, -end), (1 - end) / 2, 1_000_001)[1:-1]
        likelihood = gained * np.log(lost_share + end) + lost * np.log(lost_share)
        likelihood += (tasks - gained - lost) * np.log(1 - 2 * lost_share - end)
        variance = 2 * lost_share[np.argmax(likelihood)] + end - end**2
        assert tasks * ((gained - lost) / tasks - end) ** 2 / variance == pytest.approx(Z2, rel=1e-3)


@pytest.mark.parametrize("value", [-1.0, -0.5, 0.0, 1 / 3, 1.0])
@pytest.mark.parametrize("tasks", [1, 2, 24])
def test_however_much_tasks_agree_it_has_a_width_and_holds_their_mean(value: float, tasks: int) -> None:
    low, high = score_interval(np.full(tasks, value), -1, 1)
    assert -1 <= low <= value <= high <= 1
    assert high - low > 0.1


def test_it_turns_with_the_sides_that_are_compared() -> None:
    values = np.random.default_rng(3).integers(-3, 4, 24) / 3
    low, high = score_interval(values, -1, 1)
    assert score_interval(-values, -1, 1) == pytest.approx((-high, -low))


@cache
def _interval(counted: tuple[tuple[float, int], ...], low: float, high: float) -> tuple[float, float]:
    values, counts = zip(*counted, strict=True)
    return score_interval(np.repeat(values, counts), low, high)


def coverage(draw: Draw, truth: float, low: float, studies: int) -> float:
    """The share of studies whose interval holds the truth; equal outcomes are computed once."""
    rng, held = np.random.default_rng(20), 0
    for _ in range(studies):
        values, counts = np.unique(np.round(draw(rng), 9), return_counts=True)
        first, last = _interval(tuple(zip(values.tolist(), counts.tolist(), strict=True)), low, 1.0)
        held += first - 1e-9 <= truth <= last + 1e-9
    return held / studies


def pairs(tasks: int, gain: float, loss: float) -> Draw:
    return lambda rng: rng.choice([1.0, -1.0, 0.0], size=tasks, p=[gain, loss, 1 - gain - loss])


def several(tasks: int, samples: int, lost: float) -> Draw:
    """Differences of shares of several samples: tasks of all difficulties, one side loses a part of what it solved."""

    def draw(rng: np.random.Generator) -> Floats:
        chance = rng.beta(0.3, 0.3, tasks)
        ours, theirs = rng.binomial(samples, chance * (1 - lost)), rng.binomial(samples, chance)
        return np.asarray((ours - theirs) / samples, dtype=np.float64)

    return draw


def shares(tasks: int, chance: float) -> Draw:
    return lambda rng: (rng.random(tasks) < chance).astype(np.float64)


COVERED = [
    pytest.param(pairs(24, 0.02, 0.05), -0.03, -1.0, id="pairs of 24 tasks, few change"),
    pytest.param(pairs(24, 0.0, 0.05), -0.05, -1.0, id="pairs of 24 tasks, few change, all one way"),
    pytest.param(pairs(24, 0.3, 0.3), 0.0, -1.0, id="pairs of 24 tasks, most change"),
    pytest.param(pairs(164, 0.0, 0.01), -0.01, -1.0, id="pairs of 164 tasks, hardly any changes"),
    pytest.param(pairs(164, 0.02, 0.05), -0.03, -1.0, id="pairs of 164 tasks, few change"),
    pytest.param(several(24, 3, 0.0), 0.0, -1.0, id="3 samples of 24 tasks, no difference"),
    pytest.param(several(164, 3, 0.1), -0.05, -1.0, id="3 samples of 164 tasks"),
    pytest.param(several(164, 10, 0.1), -0.05, -1.0, id="10 samples of 164 tasks"),
    pytest.param(shares(24, 0.98), 0.98, 0.0, id="nearly all of 24 tasks solved"),
    pytest.param(shares(24, 0.5), 0.5, 0.0, id="half of 24 tasks solved"),
    pytest.param(shares(164, 0.02), 0.02, 0.0, id="hardly any of 164 tasks solved"),
    pytest.param(shares(164, 0.9), 0.9, 0.0, id="most of 164 tasks solved"),
]


@pytest.mark.parametrize(("draw", "truth", "low"), COVERED)
def test_it_holds_the_truth_in_no_less_than_about_95_of_100_studies(
    draw: Draw, truth: float, low: float
) -> None:
    assert coverage(draw, truth, low, STUDIES) >= 0.90


@pytest.mark.long
@pytest.mark.parametrize(("draw", "truth", "low"), COVERED)
def test_it_holds_the_truth_in_92_or_more_of_100_studies_over_10000(
    draw: Draw, truth: float, low: float
) -> None:
    assert coverage(draw, truth, low, 10_000) >= 0.915
