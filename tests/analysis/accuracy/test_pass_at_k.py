"""pass@k is the unbiased estimator, as evalplus has it."""

from __future__ import annotations

import itertools

import pytest
from evalplus.eval import estimate_pass_at_k

from analysis.accuracy.pass_at_k import mean_pass_at_k, pass_at_k, possible_ks


@pytest.mark.parametrize("samples", [1, 2, 3, 10, 200])
def test_it_is_the_number_that_evalplus_gives(samples: int) -> None:
    for passed in {0, 1, samples // 2, samples - 1, samples}:
        for k in {1, min(2, samples), min(10, samples), samples}:
            (theirs,) = estimate_pass_at_k([samples], [passed], k)
            assert pass_at_k(samples, passed, k) == pytest.approx(theirs, abs=1e-12)


def test_it_is_the_share_of_choices_of_k_samples_that_hold_a_right_one() -> None:
    right = [True, False, False, True, False]
    for k in range(1, 6):
        choices = list(itertools.combinations(right, k))
        assert pass_at_k(5, 2, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_it_is_averaged_over_tasks_and_only_given_where_every_task_has_enough() -> None:
    assert mean_pass_at_k([2, 4], [1, 0], 1) == 0.25
    assert possible_ks([10, 12, 99]) == [1, 2, 5, 10]
    assert possible_ks([]) == []
    for samples, passed in (([1, 2], [0, 0]), ([], [])):
        with pytest.raises(ValueError, match="pass@"):
            mean_pass_at_k(samples, passed, 2)
