"""Decide whether the integral of a sensor's readings is doubtful, as power may have kept in step with the sensor.

A sensor that averages W of every U seconds sees one phase of power whose period is near U / k (k = 1, 2, ...): its
readings are steady, and wrong by up to the whole swing. Nothing in them tells. What tells stands beside them:

- the load's own rhythm (``analysis/energy/rhythm.py``): what an alias that stands still may hide;
- the board's slow average, where it has one beside the instantaneous reading: it must agree. It clears, too, where
  calibration found that it sees everything; what calls itself an average may be the same short look.

A beat in the readings alone is not taken for a sign: power that wanders over seconds looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.energy.integral import Integral

HIDDEN_BOUND = 0.02
"""Of the window's joules: up to this, what may be hidden is part of the interval; above, the window is invalid."""
AVERAGE_ERRORS = 4.0
AVERAGE_BOUND = 0.01


@dataclass(frozen=True)
class Aliasing:
    """Hold what was looked at; None where there was nothing to look at."""

    # Of the window's joules, at most; 1: nothing bounds it; None: the load keeps no rhythm.
    hidden: float | None
    average_off: float | None  # slow average over instantaneous readings, minus 1
    average_bound: float | None
    average_clears: bool  # the average is known to see everything: where it agrees there is no aliasing

    @property
    def found(self) -> bool:
        """Tell whether the integral of the readings must not be believed."""
        if self._average_convicts:
            return True
        return not self.average_clears and (self.hidden or 0.0) > HIDDEN_BOUND

    @property
    def _average_convicts(self) -> bool:
        off, bound = self.average_off, self.average_bound
        return off is not None and bound is not None and abs(off) > bound

    @property
    def figure(self) -> tuple[float | None, float]:
        """Return the figure behind the verdict, a ratio, and its bound."""
        off, bound = self.average_off, self.average_bound
        if off is not None and bound is not None and (self.average_clears or self._average_convicts):
            return abs(off), bound
        return self.hidden, HIDDEN_BOUND


@dataclass(frozen=True)
class Averages:
    """A window's joules by a board's slow average and by its instantaneous readings."""

    slow_j: float
    fast_j: float
    error_j: float  # standard error of their difference
    sees_everything: bool  # calibration found that the slow one leaves no time out


def look_for_aliasing(fast: Integral, averages: Averages | None = None) -> Aliasing:
    """Judge one device's readings over a window.

    Args:
        fast: their integral, with what the load's rhythm leaves open in it.
        averages: the slow average beside the readings, where there are both.
    """
    off, bound = None, None
    if averages is not None and averages.fast_j > 0:
        off = averages.slow_j / averages.fast_j - 1
        bound = max(AVERAGE_BOUND, AVERAGE_ERRORS * averages.error_j / averages.fast_j)
    return Aliasing(_hidden(fast), off, bound, averages is not None and averages.sees_everything)


def _hidden(fast: Integral) -> float | None:
    if fast.rhythm is None:
        return None
    if fast.rhythm.hidden_j is None or fast.curve.total_j <= 0:
        return 1.0
    return min(fast.rhythm.hidden_j / fast.curve.total_j, 1.0)
