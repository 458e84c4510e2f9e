"""A range of seconds: the least and the most that something takes, going by its like. Neither is a bound."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Range from ``low`` to ``high``."""

    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Span:
        """Make a range of a value that is known."""
        return cls(value, value)

    @classmethod
    def sum(cls, spans: Iterable[Span]) -> Span:
        """Add all up, end by end: they err in the same direction, as one machine is faster or slower in all."""
        every = list(spans)
        return cls(sum(span.low for span in every), sum(span.high for span in every))

    @property
    def middle(self) -> float:
        """Return the geometric mean of both ends; the arithmetic one where that says nothing."""
        return math.sqrt(self.low * self.high) if self.low > 0 else (self.low + self.high) / 2

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> Span:
        return Span(self.low * factor, self.high * factor)

    def times(self, other: Span) -> Span:
        """Multiply two ranges."""
        return Span(self.low * other.low, self.high * other.high)

    def at_least(self, other: Span) -> Span:
        """Take the larger value at each end."""
        return Span(max(self.low, other.low), max(self.high, other.high))


NOTHING = Span(0.0, 0.0)
"""No time at all."""
