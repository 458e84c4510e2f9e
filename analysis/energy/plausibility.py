"""Readings that no device gives: more than it can draw, nothing at all under load, or the same in idle and load."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.arrays import Bools, Ints
from analysis.energy.integral import PowerSeries, longest_gap_s
from analysis.energy.moments import Moments
from analysis.requests.window import Window

LIMIT_FACTOR = 3.0
"""Over a board's power limit; instantaneous peaks of real boards reach 1.43 times theirs."""
_MOST_W = 5_000.0  # of a device that names no limit ...
_MOST_HOST_W = 100_000.0  # ... and of what a wall meter or a BMC may stand before
_A_STEP = 0.05  # of power, from idle to a load
_REACH_S = 1.0  # around a window: readings there say what its edges are
_SAME_LIMIT_W = 0.5  # boards round theirs
_LEAST_OUTSIDE_NS = 2_000_000_000  # of readings before and after a window, for idle to be among them
# A sensor stood at one value; and how many times its other stretches.
_LONG_NS, _FAR_LONGER = 20_000_000_000, 100.0
_LEAST_READINGS = 20
_LEAST_EVENTS = 12
_SENSORS = ("nvml", "amdsmi", "external")


def is_impossible(series: PowerSeries, window: Window, limit_w: float | None) -> bool:
    """Tell whether a reading of the window, or one its edges rest on, is negative or more than the device can draw."""
    reach_ns = round(_REACH_S * 1e9)
    near = (series.power_t_ns >= window.start_ns - reach_ns) & (series.power_t_ns < window.end_ns + reach_ns)
    power_w = series.power_w[near]
    limit_w = limit_w or max(series.limits_w, default=None)
    most_w = LIMIT_FACTOR * limit_w if limit_w else _MOST_HOST_W if series.boundary == "host" else _MOST_W
    return bool((power_w < 0).any() or (power_w > most_w).any())


def is_limit_changed(series: PowerSeries) -> bool:
    """Tell whether the device had more than one power limit while it was recorded."""
    return bool(series.limits_w) and series.limits_w[-1] - series.limits_w[0] > _SAME_LIMIT_W


def is_zero(series: PowerSeries, window: Window) -> bool:
    """Tell whether 0 W was shown throughout, or by a sensor as long as a gap lasts: a device that is on draws power."""
    inside = _inside(series, window)
    if int(inside.sum()) < _LEAST_READINGS:
        return False
    if not series.power_w[inside].any():
        return True
    shown = series.power_t_ns[series.power_w != 0]
    zeros = bool((series.power_w[inside] == 0).any())
    return series.source in _SENSORS and zeros and longest_gap_s(shown, window) > series.gap_bound_s


def is_stuck(series: PowerSeries, window: Window, events: tuple[Moments, ...]) -> bool:
    """Tell whether power stood at one value while the load acted: into idle time too, or far longer than elsewhere.

    RAPL's and modelled power are differences of a counter, whose standing still is a power of zero. A board whose own
    average moved kept in step with its power: its readings stand for nothing, but are no fault.
    """
    t_ns = series.power_t_ns
    if series.source not in _SENSORS or t_ns.size < _LEAST_READINGS:
        return False
    if series.average_w.size and np.ptp(series.average_w) > 0:
        return False
    first = np.concatenate(([0], np.flatnonzero(np.diff(series.power_w)) + 1))  # of each stretch of one value
    last = np.append(first[1:] - 1, t_ns.size - 1)
    # Idle time that a stretch reaches into: a record begins and ends with some.
    idle_ns = np.zeros(first.size, dtype=np.int64)
    idle_ns[0] += max(window.start_ns - int(t_ns[0]), 0)
    idle_ns[-1] += max(int(t_ns[-1]) - window.end_ns, 0)
    suspects = np.flatnonzero(idle_ns >= _LEAST_OUTSIDE_NS).tolist()
    lasted_ns = t_ns[last] - t_ns[first]
    if series.source == "nvml" and _stands_out(lasted_ns):
        suspects.append(int(np.argmax(lasted_ns)))
    return any(
        _acted(series, window, Window(int(t_ns[first[suspect]]), int(t_ns[last[suspect]])), events)
        for suspect in suspects
    )


def _stands_out(lasted_ns: Ints) -> bool:
    """Tell whether one stretch of a value lasted far longer than others do; not where there are few others."""
    *others, longest = np.sort(lasted_ns).tolist()
    return len(others) >= _LEAST_READINGS and longest > max(_LONG_NS, _FAR_LONGER * float(np.median(others)))


def _acted(series: PowerSeries, window: Window, stretch: Window, events: tuple[Moments, ...]) -> bool:
    """Tell whether the readings of a stretch of the window, and the load's doings in it, are enough to tell."""
    from_ns, to_ns = max(stretch.start_ns, window.start_ns), min(stretch.end_ns, window.end_ns)
    readings = int(((series.power_t_ns >= from_ns) & (series.power_t_ns <= to_ns)).sum())
    if readings < _LEAST_READINGS:
        return False
    return any(of.count(Window(from_ns, to_ns)) >= _LEAST_EVENTS for of in events)


def average_is_plausible(series: PowerSeries, window: Window, limit_w: float | None) -> bool:
    """Tell whether a board's slow average shows what it can draw, and went with its readings from idle to load."""
    slow = replace(series, power_t_ns=series.average_t_ns, power_w=series.average_w)
    if is_impossible(slow, window, limit_w) or is_zero(slow, window):
        return False
    inside = _inside(series, window)
    if not slow.power_w.size or np.ptp(slow.power_w) > 0 or inside.all() or not inside.any():
        return True
    load_w, idle_w = (float(series.power_w[part].mean()) for part in (inside, ~inside))
    return abs(load_w - idle_w) <= _A_STEP * max(load_w, idle_w)


def _inside(series: PowerSeries, window: Window) -> Bools:
    return np.asarray(
        (series.power_t_ns >= window.start_ns) & (series.power_t_ns < window.end_ns), dtype=np.bool_
    )
