"""Learn how many connections an open load needs while it runs."""

from __future__ import annotations

import math

_SLOW_RATE = 50.0
_MEMORY = 1 / 8
"""The weight of the newest figure in a mean."""


class Demand:
    """Little's law: requests in flight are their rate times the time that each takes.

    A server may keep a thread for each connection, or allow but so many, so that none is opened without need.
    """

    def __init__(self, rate: float = 0.0) -> None:
        """``rate``: requests a second; 0 where nothing is opened ahead."""
        self.rate = rate
        self._used_s: float | None = None
        self._opened_s: float | None = None

    @property
    def slow(self) -> bool:
        """Say whether requests are so far apart that the connection of one is soon free for the next."""
        return self.rate < _SLOW_RATE

    @property
    def opening_s(self) -> float:
        """Say how long it takes to open one where nothing else is being opened."""
        return self._opened_s or 0.0

    def used(self, seconds: float) -> None:
        """Note that a connection was in use for so long."""
        self._used_s = _mean(self._used_s, seconds)

    def opened(self, seconds: float) -> None:
        """Note that a connection took so long to be opened.

        The shortest counts: many at once wait for each other, and what they took would call for more of them.
        """
        self._opened_s = seconds if self._opened_s is None else min(self._opened_s, seconds)

    def wanted(self, in_use: int) -> int:
        """Say how many should be open: those in use and due while another one opens, or those that the rate needs."""
        meanwhile = int(2 * self.rate * self.opening_s)
        return max(in_use + meanwhile, math.ceil(self.rate * (self._used_s or 0.0)))


def _mean(before: float | None, newest: float) -> float:
    return newest if before is None else before + (newest - before) * _MEMORY
