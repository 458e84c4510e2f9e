"""A window says that a rate holds, that it fails, or nothing: each for its own reason."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.validity.objective import Judgement, judge, requests_needed, share_interval
from tests.study.rate.virtual import Served, queueing, requests_of

BOUNDS = {"ttft": 100.0}
EVERY = np.arange(400) * 0.1


def judged(ttft_s: np.ndarray, *, late_s: float = 0.0, wanted: float = 0.9, **bounds: float) -> Judgement:
    """Of requests a tenth of a second apart; NaN: refused."""
    end_s = EVERY[: ttft_s.size] + ttft_s
    return judge(requests_of(EVERY[: ttft_s.size], Served(end_s, end_s), late_s), bounds or BOUNDS, wanted)


def test_a_rate_holds_where_enough_requests_are_good_beyond_chance_and_fails_where_too_few_are() -> None:
    assert judged(np.full(200, 0.05)).says == "holds"
    assert judged(np.full(200, 0.5)).says == "fails"
    some = np.where(np.arange(200) % 5 == 0, 0.5, 0.05)
    assert judged(some).says == "fails"  # 80 % are good
    assert judged(some, wanted=0.7).says == "holds"
    assert judged(some).share == pytest.approx(0.8)


def test_requests_that_are_refused_are_not_good_however_quick_the_others_are() -> None:
    refused = np.where(np.arange(200) % 2 == 0, np.nan, 0.01)
    judgement = judged(refused)
    assert judgement.says == "fails"
    assert judgement.share == pytest.approx(0.5)


def test_too_few_requests_say_nothing_and_as_many_as_are_needed_do() -> None:
    for wanted in (0.5, 0.9, 0.95):
        needed = requests_needed(wanted)
        assert judged(np.full(needed, 0.05), wanted=wanted).says == "holds"
    few = judged(np.full(8, 0.05))
    assert (few.says, few.why) == ("nothing", "too_few")
    assert judged(np.full(8, 0.5)).says == "fails"  # of eight that are all bad nine tenths cannot be good


def test_a_window_in_which_the_generator_was_late_says_nothing_whatever_it_shows() -> None:
    for ttft_s in (0.01, 0.5):
        judgement = judged(np.full(200, ttft_s), late_s=0.05)
        assert (judgement.says, judgement.why) == ("nothing", "generator_lagged")


def test_latency_that_still_grows_says_nothing_of_a_rate_that_holds_so_far() -> None:
    judgement = judged(np.linspace(0.01, 0.09, 200))
    assert (judgement.says, judgement.why) == ("nothing", "growing")
    assert judged(np.linspace(0.05, 0.3, 200)).says == "fails"  # it only becomes worse


def test_latency_that_still_falls_says_nothing_of_a_rate_that_fails_so_far() -> None:
    judgement = judged(np.linspace(0.3, 0.05, 200))
    assert (judgement.says, judgement.why) == ("nothing", "settling")


def test_a_backlog_without_end_fails_also_where_only_the_time_between_tokens_is_bound() -> None:
    due_s = np.arange(600) * 0.01
    piles_up = queueing(0.02)(due_s, np.random.default_rng(0))
    judgement = judge(requests_of(due_s, piles_up), {"tpot": 50.0}, 0.9)
    assert (judgement.says, judgement.why, judgement.share) == ("fails", "backlog", 1.0)
    keeps_up = queueing(0.005)(due_s, np.random.default_rng(0))
    assert judge(requests_of(due_s, keeps_up), {"tpot": 50.0}, 0.9).says == "holds"


def test_an_answer_of_one_burst_is_less_sure_than_scattered_ones() -> None:
    scattered = np.arange(400) % 10 != 0
    in_one_burst = np.arange(400) >= 40
    assert scattered.mean() == in_one_burst.mean()
    narrow, wide = share_interval(scattered), share_interval(in_one_burst)
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]


def test_the_interval_covers_the_share_of_independent_requests() -> None:
    rng = np.random.default_rng(7)
    for share in (0.5, 0.9, 0.99):
        intervals = [share_interval(rng.random(150) < share) for _ in range(400)]
        covered = np.mean([lo <= share <= hi for lo, hi in intervals])
        assert covered > 0.93, share


def test_of_no_requests_nothing_is_said() -> None:
    judgement = judged(np.zeros(0))
    assert (judgement.says, judgement.why, judgement.share) == ("nothing", "no_requests", None)
