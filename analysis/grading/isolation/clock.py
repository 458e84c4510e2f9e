"""The time limit of a call, held from outside: a candidate can switch off every clock in its own process.

Counted is CPU time, as of all clocks here, of all processes of a sandbox together. Inside, a timer ends the call of an
honest program at its limit; this one ends what is over the limit all the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

#: Between two looks at the clock; what a reading may be wrong by, on each CPU.
_LOOK_S = 0.02
#: The resolution of ``/proc``, and what the runner does between a call and the next.
_SLACK_S = 0.15
#: How fast results are encoded at least.
_ENCODED_BYTES_PER_S = 4e6


class CallClock:
    """Says when the call that is running has used more than its limit, or all together more than theirs."""

    def __init__(
        self,
        cpu_s: Callable[[], float],
        limits_s: Sequence[float],
        total_s: float,
        result_bytes: Sequence[int] = (),
    ) -> None:
        """``cpu_s`` reads the CPU seconds of the sandbox; ``result_bytes``: about how large each result is."""
        self._cpu_s = cpu_s
        self._limits_s, self._total_s, self._result_bytes = limits_s, total_s, result_bytes
        self._began = False  # whether the first call has
        self._moved = True  # whether results have come since the last reading
        self._done = 0
        self._start_s = self._last_s = self._now_s = cpu_s()
        self._looked = time.monotonic()

    def next_look_s(self) -> float:
        """Say after how many seconds of waiting something could be over its limit, but for a few looks too early."""
        if self._moved:
            return _LOOK_S
        left = min(self._allowed_s(self._done) - (self._now_s - self._last_s), self._left_s())
        return max(_LOOK_S, left / (os.cpu_count() or 1))

    def due(self) -> bool:
        """Say whether it is time for ``exceeded``."""
        return time.monotonic() - self._looked >= _LOOK_S

    def exceeded(self, read_results: Callable[[], tuple[bool, int]]) -> bool:
        """Say whether a limit is exceeded, given a function that takes what has come and says whether calls have begun
        and how many are done.

        What came after the reading was certainly not late, so nothing honest is ever over its limit by a late look.
        """
        self._now_s = self._cpu_s()
        began, done = read_results()
        used_s = self._now_s - self._last_s
        over = self._left_s() < 0
        calls = range(self._done, min(done + 1, len(self._limits_s)))
        if self._began and calls:
            over |= used_s > sum(map(self._allowed_s, calls))
        if (began, done) != (self._began, self._done):
            self._last_s = self._now_s = self._cpu_s()
            self._began, self._done = began, done
        self._moved = False
        self._looked = time.monotonic()
        return over

    def moved(self) -> None:
        """Note that results have come."""
        self._moved = True

    def _left_s(self) -> float:
        return self._total_s + 1 - (self._now_s - self._start_s)

    def _allowed_s(self, index: int) -> float:
        if not self._began or index >= len(self._limits_s):
            return float("inf")
        size = self._result_bytes[index] if index < len(self._result_bytes) else 0
        return self._limits_s[index] + _SLACK_S + size / _ENCODED_BYTES_PER_S
