"""Search the highest rate on a server: what every window asks, how it is judged, and what is found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.requests.columns import Requests
from analysis.requests.latency import Latencies, latencies
from analysis.validity.objective import WORDS, Judgement, judge, requests_needed
from configs.loads import FindRate, Open, SingleStream
from loadgen.spec import LoadSpec
from loadgen.spec import Requests as So
from starwatt_errors import LoadError
from study.rate.search import WITHIN, JudgedWindow, RateAnswer, Terms, Trial, answer_of, next_trial
from study.rate.words import first_error, said_of, share_words

_ALONE = 8  # requests, one at a time, before anything else
_LEAST_WARMUP_S, _MOST_WARMUP_S = 1.0, 60.0
_DRAIN_S = 5.0
_LEAST_TIMEOUT_S = 30.0
_LEAST_RATE = 0.001
_DOWN_TO = 16  # of what one request at a time makes: so low a rate asks one thing at a time
_A_WINDOW = 1 / 45  # of the whole time, at most
_Z95 = 1.96


Measure = Callable[[LoadSpec, Trial | None], Requests]
"""Measures a window, and returns its requests; no trial: that of one request at a time."""


@dataclass(frozen=True)
class SearchResult:
    """The highest rate, and every window behind it."""

    answer: RateAnswer
    lo: float | None
    hi: float | None
    """The interval: the bracket, and how far the requests that came differ by chance from the rate that was asked."""
    alone: Judgement
    """Of one request at a time."""
    windows: tuple[JudgedWindow, ...]
    interrupted: bool = False

    @property
    def last(self) -> JudgedWindow | None:
        """Return the last window of the rate that is the answer."""
        of_rate = [window for window in self.windows if window.trial.rate == self.answer.rate]
        return of_rate[-1] if of_rate else None


class RateSearch:
    """One search on one server; ``tell`` hears of each window."""

    def __init__(
        self,
        base: LoadSpec,
        wanted: FindRate,
        measure: Measure,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base, self._wanted, self._measure, self._tell, self._clock = base, wanted, measure, tell, clock
        self._began_s = clock()
        self._warmup_s = max(base.warmup_s, _LEAST_WARMUP_S)
        self._window_s = wanted.window_s
        self._told: list[JudgedWindow] = []

    def run(self) -> SearchResult:
        """Measure until the rate is known, or the time is up; Ctrl-C ends it with what is known.

        Raises:
            LoadError: one request at a time gets no answer, or TPOT has a bound and cannot be known.
        """
        alone, each_s = self._alone()
        first = self._wanted.first_qps or 1 / each_s
        terms = Terms(
            self._wanted.share,
            first,
            max(min(first, 1 / each_s) / _DOWN_TO, _LEAST_RATE),
            self._wanted.most_qps,
        )
        if alone.hi < self._wanted.share:
            return self._found(RateAnswer("none", None, None, confirmed=False), alone)
        interrupted = False
        try:
            while trial := next_trial(
                self._told, terms, time_is_up=self._spent_s > self._wanted.search_for_s
            ):
                self._window(trial)
        except KeyboardInterrupt:
            interrupted = True
        return self._found(answer_of(self._told, terms), alone, interrupted=interrupted)

    @property
    def _spent_s(self) -> float:
        return self._clock() - self._began_s

    def _alone(self) -> tuple[Judgement, float]:
        """Measure one request at a time: what it says, and how long one takes, in seconds."""
        spec = self._base.model_copy(
            update={
                "load": SingleStream(kind="single_stream"), "amount": So(kind="requests", requests=_ALONE),
                "workers": 1, "block": 1, "warmup_s": 0.0,
            }
        )  # fmt: skip
        requests = self._measure(spec, None)
        latency = latencies(requests)
        if not requests.completed.any():
            raise LoadError(f"one request at a time gets no answer: {first_error(requests)}")
        judged = judge(requests, self._wanted.bounds_ms, self._wanted.share, is_open=False)
        if judged.why == "tpot_unknown":
            raise LoadError(f"slo: tpot: {WORDS['tpot_unknown']}; take a bound of e2e in its place")
        e2e_ms = latency.e2e_ms[requests.completed]
        self._settle(e2e_ms)
        self._window_s = max(self._window_s, self._until_late_s(requests, latency))
        each_s = float(e2e_ms.mean()) / 1e3  # its inverse is what one after the other make
        self._tell(f"one request at a time: {share_words(judged)}, {each_s:.3g} s each")
        return judged, max(each_s, 1e-4)

    def _until_late_s(self, requests: Requests, latency: Latencies) -> float:
        """Return how long a queue takes to reach a bound where a server gets by ``WITHIN`` more than it serves."""
        waits_ms = [
            bound_ms - float(np.nanmedian(getattr(latency, f"{name}_ms")[requests.completed]))
            for name, bound_ms in self._wanted.bounds_ms.items()
            if name != "tpot"
        ]
        return min(max(waits_ms, default=0.0) / 1e3 / WITHIN, self._wanted.search_for_s * _A_WINDOW)

    def _window(self, trial: Trial) -> None:
        wanted = self._wanted
        number = len(self._told) + 2
        load = Open(kind="open", qps=trial.rate, arrivals=wanted.arrivals, max_in_flight=wanted.max_in_flight)
        count = trial.requests(requests_needed(wanted.share), self._window_s)
        left_s = max(wanted.search_for_s - self._spent_s, _LEAST_TIMEOUT_S)
        longest_s = max(10 * max(wanted.bounds_ms.values()) / 1e3, left_s)
        spec = self._base.model_copy(
            update={
                "load": load, "amount": So(kind="requests", requests=count), "block": number,
                "warmup_s": self._warmup_s, "drain_s": _DRAIN_S,
                "request_timeout_s": min(self._base.request_timeout_s, longest_s),
            }
        )  # fmt: skip
        requests = self._measure(spec, trial)
        judged = judge(requests, wanted.bounds_ms, wanted.share, wanted.max_in_flight)
        self._told.append(JudgedWindow(trial, judged))
        self._tell(f"{trial.rate:g} requests/s: {share_words(judged)}: {said_of(judged)}")
        if judged.says != "fails":
            self._settle(latencies(requests).e2e_ms[requests.completed])

    def _settle(self, e2e_ms: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        """Warm up as long as an answer takes: before, what is in flight only grows."""
        if e2e_ms.size:
            longest_s = 1.5 * float(np.percentile(e2e_ms, 90)) / 1e3
            self._warmup_s = min(max(self._base.warmup_s, _LEAST_WARMUP_S, longest_s), _MOST_WARMUP_S)

    def _found(self, answer: RateAnswer, alone: Judgement, *, interrupted: bool = False) -> SearchResult:
        chance = self._wanted.arrivals == "poisson"
        lo = None if answer.rate is None else answer.rate * (1 - self._by_chance(answer.rate) * chance)
        hi = None if answer.fails is None else answer.fails * (1 + self._by_chance(answer.fails) * chance)
        return SearchResult(answer, lo, hi, alone, tuple(self._told), interrupted)

    def _by_chance(self, rate: float) -> float:
        """Return how far (95 %) what came in the longest window of a rate differs from it, as a part of it."""
        most = max(window.judgement.requests for window in self._told if window.trial.rate == rate)
        return min(_Z95 / math.sqrt(most), 1.0)
