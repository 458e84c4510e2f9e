"""Power that is periodic near the sensor's own period: a look at the same phase every time, at any length.

A sensor that averages W of every U seconds, on power of period T near U / k (k = 1, 2, ...), sees one phase of it, or
drifts through the phases so slowly that the window ends before it has seen them all. Its readings are then steady
or nearly so, and wrong by up to the whole swing; nothing in them tells. What tells stands beside them:

- the load's own rhythm: requests sent or tokens received at moments that keep their phase against the sensor's period
  through the window (Rayleigh's test for a known period, Mardia and Jupp 2000, section 6.3, over the few frequencies
  that a window cannot resolve from k / U). What matters is how much of a swing would be left at k / U: a share
  sinc(W k / U) passes the averaging window (none where it holds whole periods), and where k / U is the h-th harmonic of
  the events' rate, power that follows them has at most about 1/h of its swing there;
- the board's slow average, where it has one beside the instantaneous reading: it must agree. It clears, too, where
  calibration found that it sees everything; what calls itself an average may be the same short look.

A beat in the readings alone is not taken for a sign: power that wanders over seconds looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import Floats
from analysis.sampling import Updates
from analysis.sensor import Sensor

COHERENCE_BOUND = 0.15
"""Of events' coherence x what is left of a swing: an error of the mean of 0.15 of the swing, at the worst phase."""
_NO_CHANCE = 3.2  # over the root of the number of events: coherence that chance does not give
_LEAST_COHERENT = 0.35
MIN_EVENTS = 30
_MOST_EVENTS = 4000
_HIGHEST = 8  # multiples of the sensor's rate that are looked at
_UNRESOLVED = 2.5  # cycles of drift over the window
_PERIOD_OFF = 0.002  # how well a sensor's period is known that was calibrated, relative ...
_PERIOD_OFF_SEEN = 0.0001  # ... and where the window's own readings show it
AVERAGE_ERRORS = 4.0
AVERAGE_BOUND = 0.01


@dataclass(frozen=True)
class Aliasing:
    """What was looked at; None where there was nothing to look at."""

    coherence: float | None  # weighted; 0: events at all phases of the sensor's period
    average_off: float | None  # slow average over instantaneous readings, minus 1
    average_bound: float | None
    average_clears: bool  # the average is known to see everything: where it agrees there is no aliasing

    @property
    def found(self) -> bool:
        """Whether the integral of the readings must not be believed."""
        if self._average_convicts:
            return True
        return not self.average_clears and (self.coherence or 0.0) > COHERENCE_BOUND

    @property
    def _average_convicts(self) -> bool:
        off, bound = self.average_off, self.average_bound
        return off is not None and bound is not None and abs(off) > bound

    @property
    def figure(self) -> tuple[float | None, float]:
        """The figure behind the verdict, a ratio, and its bound."""
        off, bound = self.average_off, self.average_bound
        if off is not None and bound is not None and (self.average_clears or self._average_convicts):
            return abs(off), bound
        return self.coherence, COHERENCE_BOUND


@dataclass(frozen=True)
class Averages:
    """A window's joules by a board's slow average and by its instantaneous readings."""

    slow_j: float
    fast_j: float
    error_j: float  # standard error of their difference
    sees_everything: bool  # calibration found that the slow one leaves no time out


def look_for_aliasing(
    readings: Updates,
    sensor: Sensor,
    seconds: float,
    events_s: tuple[Floats, ...],
    averages: Averages | None = None,
) -> Aliasing:
    """Test one device's readings over a window.

    Args:
        readings: those inside the window.
        sensor: how they come about.
        seconds: the window's length.
        events_s: sets of moments at which the load acted, in seconds from the window's start.
        averages: the slow average beside the readings, where there are both.
    """
    coherences = [
        found for events in events_s if (found := _coherence(events, readings, sensor, seconds)) is not None
    ]
    off, bound = None, None
    if averages is not None and averages.fast_j > 0:
        off = averages.slow_j / averages.fast_j - 1
        bound = max(AVERAGE_BOUND, AVERAGE_ERRORS * averages.error_j / averages.fast_j)
    clears = averages is not None and averages.sees_everything
    return Aliasing(max(coherences, default=None), off, bound, clears)


def _coherence(events_s: Floats, readings: Updates, sensor: Sensor, seconds: float) -> float | None:
    """The largest share of events in one phase, over the sensor's rate and its multiples."""
    inside = events_s[(events_s >= 0) & (events_s <= seconds)]
    if inside.size < MIN_EVENTS:
        return None
    events_hz = inside.size / seconds
    if inside.size > _MOST_EVENTS:  # at random: every n-th of a regular series has a rhythm of its own
        inside = np.random.default_rng(0).choice(inside, _MOST_EVENTS, replace=False)
    rate_hz, largest = 1 / readings.spacing_s, 0.0
    off = _PERIOD_OFF_SEEN if readings.rhythm else _PERIOD_OFF
    least = max(_LEAST_COHERENT, _NO_CHANCE / float(np.sqrt(inside.size)))
    for multiple in range(1, _HIGHEST + 1):
        middle_hz = multiple * rate_hz
        harmonic = max(middle_hz / events_hz, 1.0)
        left = abs(float(np.sinc(middle_hz * sensor.window_s))) / harmonic
        if left < COHERENCE_BOUND:
            continue
        reach_hz = _UNRESOLVED / seconds + off * middle_hz
        steps = int(np.ceil(4 * reach_hz * seconds))
        around_hz = middle_hz + np.linspace(-reach_hz, reach_hz, 2 * steps + 1)
        phases = np.exp(-2j * np.pi * np.outer(around_hz, inside))
        coherence = float(np.abs(phases.mean(axis=1)).max())
        if coherence > least:
            largest = max(largest, coherence * left)
    return largest
