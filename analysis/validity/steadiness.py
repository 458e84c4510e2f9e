"""Check that a window was steady: trends within it, of power, tokens, temperature and clocks.

A window is fixed by its requests. What is found here can make a cell invalid (``not_steady``), and never moves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import stdtr

from analysis.arrays import Floats, Ints, floats, ints
from analysis.energy.boundary import BoundaryEnergy
from analysis.requests.columns import Requests
from analysis.requests.inside import PIECES
from analysis.requests.window import Window
from analysis.validity.reasons import Check

SHORTEST_S = 2.0  # of a piece: below, what differs between pieces is which requests they hold
LEVEL = 0.01
BOUNDS = {"power": 0.10, "tokens": 0.10, "sm_clock": 0.05, "temperature": 10.0}
"""How far a quantity may go from a window's start to its end: over its mean; temperature in kelvin (a chip leaks about
1 % more with each). Beyond, the window's mean stands for neither its start nor its end."""


@dataclass(frozen=True)
class Trend:
    """A straight line through a window's pieces: how far it goes from the first to the last, and its p."""

    change: float
    p: float

    def significant(self, bound: float) -> bool:
        """Tell whether it is both large and unlikely to be chance."""
        return abs(self.change) > bound and self.p < LEVEL


@dataclass(frozen=True)
class Trends:
    """Those of one window, by the names of ``BOUNDS``; empty where it is too short to have pieces."""

    found: Mapping[str, Trend]

    @property
    def checks(self) -> list[Check]:
        """Check ``not_steady``: the worst change over what is allowed for it; of those that chance may give, none."""
        if not self.found:
            return []
        sure = {name: trend for name, trend in self.found.items() if trend.p < LEVEL}
        worst = max((abs(trend.change) / BOUNDS[name] for name, trend in sure.items()), default=0.0)
        return [Check("not_steady", worst > 1, worst, "of what is allowed", hi=1.0)]


def trend(values: Floats) -> Trend | None:
    """Fit a line to the pieces (k,) of a window in order; p by Student's t for the slope. None below four.

    Neighbouring pieces that are alike make p too small: a bound on the change stands beside it.
    """
    if values.size < 4 or not np.isfinite(values).all():
        return None
    place = np.arange(values.size) - (values.size - 1) / 2
    slope = float(place @ values / (place @ place))
    rest = values - values.mean() - slope * place
    error = float(np.sqrt(rest @ rest / (values.size - 2) / (place @ place)))
    if error == 0:
        return Trend(slope * (values.size - 1), 1.0 if slope == 0 else 0.0)
    return Trend(slope * (values.size - 1), float(2 * stdtr(values.size - 2, -abs(slope) / error)))


def trends_in(
    requests: Requests, power: pa.Table | None, energy: BoundaryEnergy | None, window: Window
) -> Trends:
    """Find the trends of what there is; none where the window is too short."""
    if window.seconds < PIECES * SHORTEST_S:
        return Trends({})
    edges_s = np.linspace(0.0, window.seconds, PIECES + 1)
    values = {"tokens": requests.inside_of(window).pieces}
    if energy is not None and energy.curves:
        values["power"] = np.diff(np.sum([curve.at(edges_s) for curve in energy.curves], axis=0))
    if power is not None:
        values["sm_clock"] = _means(power, "sm_clock_mhz", window)
        values["temperature"] = _means(power, "temperature_c", window)
    trends = {}
    for name, pieces in sorted(values.items()):
        mean = float(pieces.mean())
        line = trend(pieces if name == "temperature" else pieces / mean) if mean > 0 else None
        if line is not None:
            trends[name] = line
    return Trends(trends)


def _means(power: pa.Table, name: str, window: Window) -> Floats:
    """Mean of a column in each piece, all devices together; NaN where a piece has no reading."""
    t_ns, timed = ints(power, "t_ns")
    values = floats(power, name)
    known = timed & np.isfinite(values) & (t_ns >= window.start_ns) & (t_ns < window.end_ns)
    place: Ints = (t_ns[known] - window.start_ns) * PIECES // (window.end_ns - window.start_ns)
    count = np.bincount(place, minlength=PIECES)
    sums = np.bincount(place, weights=values[known], minlength=PIECES)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
