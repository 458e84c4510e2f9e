"""Decide which rate is tried next, and for how long: by what the windows so far say, and by nothing else.

Rates double in short windows until one does not hold; then the bracket between the highest that may hold and the lowest
that fails is halved in longer ones. A window that says nothing is repeated, longer where more requests would help; a
rate of which the longest says nothing lies within the answer's interval. The answer has
held in a long window of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from analysis.validity.objective import GENERATOR, Judgement

WITHIN = 0.05
"""The bracket is closed where its upper end is by so much above the lower one, as a part of it."""
MOST_WINDOWS = 40
SCOUT, WHOLE, LONGEST = 0.125, 1.0, 4.0
"""Lengths of windows: while rates double, while the bracket is halved, and to confirm the answer."""
_TRIES = 2  # of a window in which the generator was late
_CONFIRMATIONS = 3  # once the time is up


@dataclass(frozen=True)
class Trial:
    """A window that is to be measured."""

    rate: float
    """Requests a second."""
    length: float = SCOUT
    """In lengths of a whole window."""
    confirms: bool = False
    """Whether it is the last one of the rate that is to be the answer."""

    def requests(self, needed: int, shortest_s: float) -> int:
        """Return how many are measured: enough to tell, twice as many where it confirms, and for so long at least."""
        least = needed * min(self.length, 2.0)
        return math.ceil(max(least, self.rate * shortest_s * self.length))


@dataclass(frozen=True)
class JudgedWindow:
    """A window that was measured, and what it says."""

    trial: Trial
    judgement: Judgement


class State(Enum):
    """Say what is known of a rate."""

    HOLDS = "holds"
    PROMISES = "held in a window too short to tell"
    FAILS = "fails"
    OPEN = "is to be measured again"
    UNCLEAR = "says nothing, for all the requests that were measured"
    OUT_OF_REACH = "is more than the load generator offers in time"


def state_of(windows: Sequence[JudgedWindow], wanted: float) -> State:
    """Say what the windows of a rate say together: of those in which nobody was late the last, the longest, counts."""
    late = [window for window in windows if window.judgement.why in GENERATOR]
    if windows[-1] in late and len(late) < _TRIES:
        return State.OPEN
    in_time = [window for window in windows if window not in late]
    if not in_time:
        return State.OUT_OF_REACH
    last = in_time[-1]
    if last.judgement.says != "nothing":
        return State.HOLDS if last.judgement.says == "holds" else State.FAILS
    if agrees(in_time, wanted):
        return State.HOLDS
    if last.trial.length < WHOLE and (last.judgement.share or 0.0) >= wanted:
        return State.PROMISES
    return State.OPEN if last.trial.length < LONGEST else State.UNCLEAR


def agrees(in_time: Sequence[JudgedWindow], wanted: float) -> bool:
    """Say whether the last window of a rate, too short to tell, has enough good requests, where one as long has told.

    Near the bound chance alone keeps many a window from telling; a shorter one that told may have been a burst.
    """
    last = in_time[-1]
    as_long = (window for window in in_time[:-1] if window.trial.length >= last.trial.length)
    too_few = last.judgement.why == "too_few" and (last.judgement.share or 0.0) >= wanted
    return too_few and any(window.judgement.says == "holds" for window in as_long)


@dataclass(frozen=True)
class Bracket:
    """Hold what is known of the rates that were tried."""

    states: dict[float, State]

    @classmethod
    def of(cls, told: Sequence[JudgedWindow], wanted: float) -> Bracket:
        """Judge all rates; a rate holds from this share of good requests on."""
        rates = {window.trial.rate for window in told}
        windows = {rate: [window for window in told if window.trial.rate == rate] for rate in rates}
        return cls({rate: state_of(windows[rate], wanted) for rate in sorted(rates)})

    def _rates(self, *states: State) -> list[float]:
        return [rate for rate, state in self.states.items() if state in states]

    @property
    def fails(self) -> float | None:
        """Return the lowest rate that fails."""
        return min(self._rates(State.FAILS), default=None)

    @property
    def out_of_reach(self) -> float | None:
        """Return the lowest rate at which the generator itself is late."""
        return min(self._rates(State.OUT_OF_REACH), default=None)

    @property
    def top(self) -> float | None:
        """Return where rates end that may hold; None: nothing says."""
        return min(filter(None, (self.fails, self.out_of_reach)), default=None)

    @property
    def low(self) -> float | None:
        """Return the highest rate that holds or may hold, and is below all that fail."""
        return self._highest(State.HOLDS, State.PROMISES)

    @property
    def holds(self) -> float | None:
        """Return the highest rate that holds, and is below all that fail."""
        return self._highest(State.HOLDS)

    def _highest(self, *states: State) -> float | None:
        top = self.top or math.inf
        return max((rate for rate in self._rates(*states) if rate < top), default=None)

    @property
    def unclear(self) -> list[float]:
        """Return the rates within the bracket of which nothing can be said."""
        low, top = self.low or 0.0, self.top or math.inf
        return [rate for rate in self._rates(State.UNCLEAR) if low < rate < top]

    @property
    def lowest(self) -> float:
        """Return the lowest rate that was tried."""
        return min(self.states)


@dataclass(frozen=True)
class Terms:
    """Hold what a search is bound by."""

    wanted: float
    """A rate holds from this share of good requests on."""
    first: float
    """The rate to begin with, requests a second."""
    lowest: float
    """So low a rate asks one thing at a time: below, nothing becomes quicker."""
    highest: float
    """No rate beyond it is tried."""


@dataclass(frozen=True)
class RateAnswer:
    """The highest rate that holds, as far as the windows tell it."""

    kind: Literal["found", "at_least", "none", "unknown"]
    """``at_least``: no rate failed. ``none``: all did, down to the lowest. ``unknown``: neither was seen."""
    rate: float | None
    """The highest rate that holds."""
    fails: float | None
    """The lowest rate that fails; None: it was not met."""
    confirmed: bool
    """Whether the rate held in a long window at the end."""


def next_trial(told: Sequence[JudgedWindow], terms: Terms, *, time_is_up: bool = False) -> Trial | None:
    """Return the window that comes next, after those that were measured; None where the search is at its end.

    Once ``time_is_up``, what is known is confirmed, and nothing else is tried.
    """
    if not told:
        return Trial(min(_rounded(terms.first), terms.highest))
    bracket, last = Bracket.of(told, terms.wanted), told[-1]
    if time_is_up or len(told) >= MOST_WINDOWS:
        confirmations = sum(window.trial.confirms for window in told)
        return None if confirmations >= _CONFIRMATIONS else _confirming(bracket, told)
    if bracket.states[last.trial.rate] is State.OPEN:
        return _again(last)
    if bracket.low is None:
        below = _rounded(bracket.lowest / 2)
        return None if below < terms.lowest else Trial(below)
    return _between(bracket, terms.highest) or _failing(bracket, told) or _confirming(bracket, told)


def answer_of(told: Sequence[JudgedWindow], terms: Terms) -> RateAnswer:
    """Return what the windows say together."""
    if not told:
        return RateAnswer("unknown", None, None, confirmed=False)
    bracket = Bracket.of(told, terms.wanted)
    if bracket.holds is None:
        all_fail = bracket.low is None and bracket.fails == bracket.lowest
        kind: Literal["none", "unknown"] = (
            "none" if all_fail and bracket.lowest / 2 < terms.lowest else "unknown"
        )
        return RateAnswer(kind, None, bracket.fails, confirmed=False)
    of_rate = [
        window
        for window in told
        if window.trial.rate == bracket.holds and window.judgement.why not in GENERATOR
    ]
    last = of_rate[-1]
    confirmed = last.trial.confirms and (last.judgement.says == "holds" or agrees(of_rate, terms.wanted))
    return RateAnswer(
        "at_least" if bracket.fails is None else "found", bracket.holds, bracket.fails, confirmed
    )


def _again(last: JudgedWindow) -> Trial:
    trial = last.trial
    if last.judgement.why in GENERATOR:
        return trial
    longer = WHOLE if trial.length < WHOLE else LONGEST
    return Trial(trial.rate, longer, trial.confirms)


def _failing(bracket: Bracket, told: Sequence[JudgedWindow]) -> Trial | None:
    """Return the bracket's upper end once more, where it failed in a short window: a burst is not a state."""
    rate = bracket.fails
    if rate is None or any(window.trial.length >= WHOLE and window.trial.rate == rate for window in told):
        return None
    return Trial(rate, WHOLE)


def _confirming(bracket: Bracket, told: Sequence[JudgedWindow]) -> Trial | None:
    """Return the last window of the highest rate that may hold; None where there is none, or it was confirmed."""
    rate = bracket.low
    if rate is None or any(window.trial.confirms and window.trial.rate == rate for window in told):
        return None
    return Trial(rate, LONGEST, confirms=True)


def _between(bracket: Bracket, highest: float) -> Trial | None:
    """Return a rate by which the bracket becomes narrower; None where it is as narrow as it is to be."""
    assert bracket.low is not None  # noqa: S101 -- the caller has looked
    marks = [bracket.low, *bracket.unclear]
    if bracket.top is None:
        above = min(_rounded(2 * marks[-1]), highest)
        return None if above in bracket.states else Trial(above)
    gaps = [(marks[0], [*marks, bracket.top][1]), (marks[-1], bracket.top)]
    below, above = max(gaps, key=lambda gap: gap[1] / gap[0])
    middle = _rounded(math.sqrt(below * above))
    return None if above <= below * (1 + WITHIN) or middle in bracket.states else Trial(middle, WHOLE)


def _rounded(rate: float) -> float:
    """Round a rate to three digits, as it is read and written."""
    return float(f"{rate:.3g}")
