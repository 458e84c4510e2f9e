"""The search for the highest rate, on virtual time: servers whose highest rate is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.requests.columns import Requests
from loadgen.spec import LoadSpec
from starwatt_errors import LoadError
from study.rate.search import MOST_WINDOWS, Trial
from study.rate.words import as_json, in_words
from tests.study.rate.virtual import Served, Server, World, bucket, queueing, steady, wanted_of

SEEDS = range(12)
SERVICE_S = 0.02  # 50 requests a second


def _refusing_rate(places: int) -> float:
    """Of an M/M/1 queue that holds so many: where a tenth is refused, by its blocking formula."""
    rates = np.linspace(1.0, 49.9, 5000)
    load = rates * SERVICE_S
    refused = load**places * (1 - load) / (1 - load ** (places + 1))
    return float(rates[np.searchsorted(refused, 0.1)])


KNOWN = {
    # M/M/1: a request is there for longer than t with the probability exp(-(mu - lambda) t)
    "queues": (queueing(SERVICE_S, exponential=True), {"e2e": 200.0}, 50 - math.log(10) / 0.2),
    "refuses when it is full": (
        queueing(SERVICE_S, exponential=True, most=4),
        {"e2e": 2e3},
        _refusing_rate(4),
    ),
    "refuses by a bucket of tokens": (bucket(20.0, burst=100), {"ttft": 100.0}, 20 / 0.9),
    "is bound by what it serves alone": (queueing(SERVICE_S), {"tpot": 100.0}, 50.0),
    "has several places": (queueing(0.5, 4), {"ttft": 5e3}, 8.0),
    # M/D/1: a request waits no longer than one is served with the probability (1 - rho) exp(rho)
    "is bound softly": (queueing(0.1), {"ttft": 200.0}, 3.92),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_interval_covers_the_known_highest_rate(name: str) -> None:
    server, bounds_ms, highest = KNOWN[name]
    results = [World(server, bounds_ms, seed).search() for seed in SEEDS]
    assert {result.answer.kind for result in results} == {"found"}
    covered = [
        result.lo is not None and result.hi is not None and result.lo <= highest <= result.hi
        for result in results
    ]
    assert sum(covered) >= len(SEEDS) - 1, [(result.lo, result.hi) for result in results]
    widths = [result.hi / result.lo for result in results if result.hi and result.lo]
    assert np.median(widths) < 3  # an answer, and not "somewhere"
    assert sum(result.answer.confirmed for result in results) >= 2 * len(SEEDS) / 3


def test_where_few_requests_were_quick_alone_by_chance_the_search_goes_down_until_a_rate_holds() -> None:
    lucky = 20  # of exponential services its first eight take a fifth of their mean in the median
    for service_s, bound_ms in ((SERVICE_S, 200.0), (0.05, 300.0)):
        result = World(queueing(service_s, exponential=True), {"e2e": bound_ms}, lucky).search()
        assert result.answer.kind == "found", result.answer


def test_a_search_is_bounded_in_windows_and_time_and_confirms_what_it_answers() -> None:
    for seed in SEEDS:
        world = World(queueing(SERVICE_S, exponential=True), {"e2e": 200.0}, seed)
        result = world.search(search_for_s=200.0)
        assert len(result.windows) <= MOST_WINDOWS
        assert world.seconds < 200 + 3 * 60  # the windows that were begun, and those that confirm
        assert result.last is None or result.last.trial.confirms
        blocks = [spec.block for spec in world.specs]
        assert len(set(blocks)) == len(blocks)  # a window that is repeated meets other arrivals


def test_where_one_request_alone_is_too_slow_no_rate_holds_and_nothing_else_is_measured() -> None:
    world = World(steady(0.5), {"ttft": 100.0})
    result = world.search()
    assert (result.answer.kind, result.answer.rate, result.windows) == ("none", None, ())
    assert "no rate holds 90 % of requests within ttft 100 ms" in in_words(result, wanted_of({"ttft": 100.0}))


def test_where_every_rate_fails_down_to_the_lowest_no_rate_holds() -> None:
    def crowd_fails(due_s: np.ndarray, _: np.random.Generator) -> Served:
        alone = np.diff(due_s, prepend=-1e9) > 1e3
        return Served(due_s + np.where(alone, 0.05, 0.5), due_s + np.where(alone, 0.05, 0.5))

    result = World(crowd_fails, {"ttft": 100.0}).search()
    assert result.answer.kind == "none"
    assert result.answer.fails is not None
    assert 0 < len(result.windows) < 10


def test_where_the_generator_is_late_before_a_rate_fails_the_answer_is_at_least() -> None:
    world = World(steady(0.05), {"ttft": 100.0}, late=lambda rate, _: rate > 300)
    result = world.search()
    assert (result.answer.kind, result.hi, result.answer.confirmed) == ("at_least", None, True)
    assert result.answer.rate is not None
    assert 300 / 1.06 < result.answer.rate <= 300
    said = in_words(result, wanted_of({"ttft": 100.0}))
    assert said.startswith("at least ")
    assert "the load generator was late" in said


def test_no_rate_beyond_the_highest_is_asked_for() -> None:
    world = World(steady(0.05), {"ttft": 100.0})
    result = world.search(most_qps=70.0)
    assert (result.answer.kind, result.answer.rate) == ("at_least", 70.0)
    assert max(window.trial.rate for window in result.windows) == 70.0


def test_windows_in_which_the_generator_was_late_are_repeated_and_say_nothing() -> None:
    server, bounds_ms, highest = KNOWN["queues"]
    for seed in SEEDS:
        world = World(server, bounds_ms, seed, late=lambda _, rng: bool(rng.random() < 0.1))
        result = world.search(first_qps=40.0)
        late = [k for k, window in enumerate(result.windows) if window.judgement.why == "generator_lagged"]
        assert {result.windows[k].judgement.says for k in late} <= {"nothing"}
        if late:
            assert result.windows[late[0] + 1].trial == result.windows[late[0]].trial
        if result.lo is not None and result.hi is not None:
            assert result.lo <= highest <= result.hi


def test_ctrl_c_ends_a_search_with_what_it_knows() -> None:
    class Interrupted(World):
        def measure(self, spec: LoadSpec, trial: Trial | None) -> Requests:
            if spec.block == 9:
                raise KeyboardInterrupt
            return super().measure(spec, trial)

    server, bounds_ms, _ = KNOWN["queues"]
    result = Interrupted(server, bounds_ms).search()
    assert result.interrupted
    assert result.answer.rate is not None
    assert len(as_json(result, wanted_of(bounds_ms))["windows"]) == 7


def test_a_server_that_answers_nobody_is_told_of_in_its_words() -> None:
    def refuse(due_s: np.ndarray, _: np.random.Generator) -> Served:
        return Served(np.full(due_s.size, np.nan), np.full(due_s.size, np.nan))

    with pytest.raises(LoadError, match="one request at a time gets no answer: http_error"):
        World(refuse, {"ttft": 100.0}).search()


def test_windows_are_as_long_as_a_queue_takes_to_reach_its_bound() -> None:
    server: Server = queueing(0.5, 8)
    world = World(server, {"e2e": 1.4e3})
    world.search(window_s=1.0)
    longest = max(world.specs, key=lambda spec: getattr(spec.amount, "requests", 0))
    assert longest.warmup_s >= 0.5
    seconds = getattr(longest.amount, "requests", 0) / (getattr(longest.load, "qps", None) or 1)
    assert seconds >= 4 * 0.9 / 0.05  # four whole windows, each 0.9 s over a twentieth
