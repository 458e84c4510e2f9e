"""How a simulated board obeys a power limit and a locked clock: a law from which the joules of every limit are known.

At the share ``f`` of its highest clock a step takes ``s (m + (1 - m) / f)`` seconds, of which the share ``m`` waits for
memory, and ``j f^2`` joules beyond idle power. A board at its limit takes the highest ``f`` at which it stays below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.golden.engine import Amounts, Model

OF_MEMORY = 0.6
SLOWEST = 0.1


@dataclass(frozen=True)
class Pace:
    """One step, as a board makes it."""

    seconds: float
    joules: float


def paced(
    seconds: float, joules: float, idle_w: float, *, limit_w: float = math.inf, clock: float = 1.0
) -> Pace:
    """Make a step of so many seconds and joules at a limit, and at most at this share of the highest clock."""
    low, high = SLOWEST, max(clock, SLOWEST)
    if _power_w(seconds, joules, idle_w, high) <= limit_w:
        return _at(seconds, joules, high)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _power_w(seconds, joules, idle_w, middle) <= limit_w else (low, middle)
    return _at(seconds, joules, low)


@dataclass(frozen=True)
class Limited(Model):
    """An engine on a board at a limit, or at a share of its highest clock."""

    limit_w: float = math.inf
    clock: float = 1.0

    def seconds(self, amounts: Amounts) -> float:
        """Longer, where the board slows down."""
        return self._paced(amounts).seconds

    def joules(self, amounts: Amounts) -> float:
        """Fewer, beyond idle power."""
        return self._paced(amounts).joules

    def _paced(self, amounts: Amounts) -> Pace:
        seconds, joules = super().seconds(amounts), super().joules(amounts)
        return paced(seconds, joules, self.idle_w, limit_w=self.limit_w, clock=self.clock)


def _at(seconds: float, joules: float, share: float) -> Pace:
    return Pace(seconds * (OF_MEMORY + (1 - OF_MEMORY) / share), joules * share**2)


def _power_w(seconds: float, joules: float, idle_w: float, share: float) -> float:
    step = _at(seconds, joules, share)
    return idle_w + step.joules / step.seconds
