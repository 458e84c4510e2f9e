"""Readings that no device gives: more than it can draw, nothing at all under load, or the same in idle and load."""

from __future__ import annotations

import numpy as np

from analysis.arrays import Bools, Ints
from analysis.energy.integral import PowerSeries
from analysis.requests.window import Window

LIMIT_FACTOR = 3.0
"""Over a board's power limit; instantaneous peaks of real boards reach 1.43 times theirs."""
_MOST_W = 5_000.0  # of a device that names no limit ...
_MOST_HOST_W = 100_000.0  # ... and of what a wall meter or a BMC may stand before
_SAME_LIMIT_W = 0.5  # boards round theirs
_LEAST_OUTSIDE_S = 2.0  # of readings before and after a window, for idle to be among them
_LEAST_READINGS = 20
_LEAST_EVENTS = 12
_SENSORS = ("nvml", "external")


def is_impossible(series: PowerSeries, window: Window, limit_w: float | None) -> bool:
    """Tell whether a reading of the window is negative, or higher than the device can draw."""
    power_w = series.power_w[_inside(series, window)]
    limit_w = limit_w or max(series.limits_w, default=None)
    most_w = LIMIT_FACTOR * limit_w if limit_w else _MOST_HOST_W if series.boundary == "host" else _MOST_W
    return bool((power_w < 0).any() or (power_w > most_w).any())


def is_limit_changed(series: PowerSeries) -> bool:
    """Tell whether the device had more than one power limit while it was recorded."""
    return bool(series.limits_w) and series.limits_w[-1] - series.limits_w[0] > _SAME_LIMIT_W


def is_zero(series: PowerSeries, window: Window) -> bool:
    """Tell whether every reading of the window is 0 W: a device that is on draws power."""
    power_w = series.power_w[_inside(series, window)]
    return power_w.size >= _LEAST_READINGS and not power_w.any()


def is_stuck(series: PowerSeries, window: Window, events_ns: tuple[Ints, ...]) -> bool:
    """Tell whether power stood at one value from idle into the load and out of it, while the load acted.

    RAPL's and modelled power are differences of a counter, whose standing still is a power of zero.
    """
    if series.source not in _SENSORS or series.power_w.size < _LEAST_READINGS or np.ptp(series.power_w) > 0:
        return False
    if series.average_w.size and np.ptp(series.average_w) > 0:
        return False  # the board's own average moved: its readings kept in step with the power, and stand for nothing
    outside_ns = max(window.start_ns - int(series.power_t_ns[0]), 0)
    outside_ns += max(int(series.power_t_ns[-1]) - window.end_ns, 0)
    acted = max(
        (int(((t_ns >= window.start_ns) & (t_ns <= window.end_ns)).sum()) for t_ns in events_ns), default=0
    )
    return outside_ns * 1e-9 >= _LEAST_OUTSIDE_S and acted >= _LEAST_EVENTS


def _inside(series: PowerSeries, window: Window) -> Bools:
    return np.asarray(
        (series.power_t_ns >= window.start_ns) & (series.power_t_ns < window.end_ns), dtype=np.bool_
    )
