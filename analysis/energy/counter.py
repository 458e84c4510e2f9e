"""Joules of a window by a device's own energy counter: what it says, how sure that is, and whether it can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import Bools, Floats, Ints
from analysis.energy.integral import MIN_GAP_S, Curve, Integral, PowerSeries, covers, longest_gap_s
from analysis.energy.sampling import SamplingError
from analysis.energy.sensor import Sensor
from analysis.requests.window import Window

MIN_STEPS = 20  # below, an edge can be off by more than a twentieth of the window (docs/measurement.md)
JUMP_FACTOR = 3.0  # a counter that runs faster than this times the highest power seen has jumped
JUMP_W = 5_000.0  # where no power is known: no device of ours draws this much
JUMP_S = 0.25  # a late sampler may see a step right after it: steps are compared with at least this long
# ... or than this times the board's power limit: it holds on average, not at every instant.
LIMIT_FACTOR = 1.5
SILENT_STEPS = 20.0  # no step for this many usual steps (at most SILENT_S) while power was drawn ...
SILENT_S = 5.0
SILENT_READS = 4.0  # ... and for so many readings of the counter, and a second
EXACT_COUNTERS = ("modelled", "rapl")  # those that move at every reading
MIN_COMPARED = 20  # knots that say whether a counter sees more than the power sensor
_ALL_POLLED = 1.5  # readings further apart than so many updates do not show what the sensor saw
_WALK = 4  # over so many knots it is seen how far counter and integral walk apart
_LEAST_MISSED, _MOST_MISSED = 0.15, 1.6  # of what the sensor is thought to miss


@dataclass(frozen=True)
class CounterReading:
    """Hold what the energy counter says of a window; ``curve`` is None where it says nothing or is caught."""

    curve: Curve | None
    steps: int  # readings inside the window in which it had moved
    error_j: float | None  # standard error of the curve's total
    fault: str | None  # counter_backwards, counter_jumped or counter_silent


def counter(
    series: PowerSeries,
    window: Window,
    sensor: Sensor,
    by_power: Integral | None = None,
    limit_w: float | None = None,
) -> CounterReading:
    """Return the counter over the window.

    A hardware counter is a staircase seen by a sampler: between two readings that moved it is exact up to one step
    at either end. From the window's edges to the first and last of them power fills in, where it is known. The
    counters of RAPL and of modelled power are exact at every reading.
    """
    t_ns, energy_j = series.energy_t_ns, series.energy_j
    if not covers(t_ns, window, series.counter_gap_bound_s):
        return CounterReading(None, 0, None, None)
    changes = np.diff(energy_j, prepend=energy_j[0])
    moved = changes != 0
    exact = series.source in EXACT_COUNTERS
    near = _with_neighbours(t_ns, window) if exact else _with_neighbours(t_ns, window, moved)
    steps = int((moved & (t_ns > window.start_ns) & (t_ns <= window.end_ns)).sum())
    fault = _fault(series, window, t_ns[near], changes[near], moved[near], limit_w)
    knots = near if exact else near & moved
    if fault or not covers(t_ns[knots], window, series.counter_gap_bound_s):
        return CounterReading(None, steps, None, fault)
    poll_s = float(np.median(np.diff(t_ns))) / 1e9
    step_s = 0.0 if exact else min(sensor.step_s, poll_s)
    knots_s = (t_ns[knots] - window.start_ns) / 1e9 - step_s / 2 - (0.0 if exact else sensor.lag_s)
    curve, error_j = _joined(
        knots_s, energy_j[knots], window.seconds, step_s, sensor, None if exact else by_power
    )
    return CounterReading(curve, steps, error_j, None)


def _joined(
    knots_s: Floats, knots_j: Floats, seconds: float, step_s: float, sensor: Sensor, by_power: Integral | None
) -> tuple[Curve, float]:
    """Join the counter between its first and last knot inside the window and power beyond; and the standard error."""
    inside = (knots_s >= 0) & (knots_s <= seconds)
    own_s, own_j = knots_s[inside], knots_j[inside]
    if by_power is None or own_s.size < 2 or own_s[-1] <= own_s[0] or by_power.curve.total_j <= 0:
        t_s = np.concatenate(([0.0], own_s[(own_s > 0) & (own_s < seconds)], [seconds]))
        cumulative = _extended(knots_s, knots_j, t_s)
        mean_w = max(float(cumulative[-1] - cumulative[0]) / seconds, 0.0)
        return Curve(t_s, cumulative - cumulative[0]), mean_w * step_s * float(np.sqrt(2 / 12))
    power_j = by_power.curve.at(own_s)
    scale = (own_j[-1] - own_j[0]) / (power_j[-1] - power_j[0]) if power_j[-1] > power_j[0] else 1.0
    before_j, after_j = power_j[0] * scale, (by_power.curve.total_j - power_j[-1]) * scale
    total_j = before_j + own_j[-1] - own_j[0] + after_j
    mean_w = float(own_j[-1] - own_j[0]) / float(own_s[-1] - own_s[0])
    variance = 2 * (mean_w * step_s) ** 2 / 12
    if by_power.error is not None:
        error, inner_s = by_power.error, float(own_s[-1] - own_s[0])
        variance += error.edges_j2 + error.unseen_j2_per_s * (seconds - inner_s)
        polled_all = by_power.readings.spacing_s <= _ALL_POLLED * sensor.update_s
        if not (polled_all and _sees_everything(own_s, own_j - power_j, mean_w * step_s, error)):
            # it sees what the sensor sees, and may be as late
            variance += error.sensor_unseen_j2_per_s * inner_s + (error.ends_w * sensor.window_s / 2) ** 2
            variance += by_power.rhythm_j2
    # power has the finer clock, the counter the better total
    return by_power.curve.scaled_to(total_j), float(np.sqrt(variance))


def _sees_everything(t_s: Floats, apart_j: Floats, step_j: float, error: SamplingError) -> bool:
    """Tell whether the counter adds up the power that the power sensor does not look at.

    No source says what a board's counter sums. One that sums the sensor's readings follows their integral up to its
    steps, at any distance; one that sees everything walks away from it by what the sensor missed. One that walks
    away much further looks at other moments, but not at all of them. In doubt it sees no more than the sensor.
    """
    if t_s.size < MIN_COMPARED or error.unseen_j2_per_s <= 0:
        return False
    apart_j = apart_j - np.polyval(np.polyfit(t_s, apart_j, 1), t_s)  # a gain of its own is no sign
    walked = float(np.mean(np.square(apart_j[_WALK:] - apart_j[:-_WALK])))
    missed = error.unseen_j2_per_s * float(np.mean(t_s[_WALK:] - t_s[:-_WALK]))
    steps = 2 * step_j**2 / 12
    return 1.6 * steps + _LEAST_MISSED * missed < walked < steps + _MOST_MISSED * missed


def _extended(knots_s: Floats, knots_j: Floats, t_s: Floats) -> Floats:
    """Interpolate, and continue beyond the first and last knot at the mean power between them.

    Holding the counter there would lose the joules of the last part of a step.
    """
    power_w = (knots_j[-1] - knots_j[0]) / (knots_s[-1] - knots_s[0]) if knots_s[-1] > knots_s[0] else 0.0
    beyond_s = np.minimum(t_s - knots_s[0], 0.0) + np.maximum(t_s - knots_s[-1], 0.0)
    return np.asarray(np.interp(t_s, knots_s, knots_j) + power_w * beyond_s, dtype=np.float64)


def _fault(
    series: PowerSeries, window: Window, t_ns: Ints, changes: Floats, moved: Bools, limit_w: float | None
) -> str | None:
    """Name what is wrong with the counter's changes in and around the window, if anything.

    A wrap of a GPU's counter is a step backwards; those of RAPL are undone by its meter, which knows the range.
    """
    if (changes[1:] < 0).any():
        return "counter_backwards"
    if series.modelled:
        return None
    highest = float(series.power_w.max()) if series.power_w.size else 0.0
    bounds_w = [JUMP_FACTOR * highest] if highest > 0 else [JUMP_W]
    bound_w = min(bounds_w + ([LIMIT_FACTOR * limit_w] if limit_w else []))
    step_times, step_j = t_ns[moved], changes[moved]
    apart_s = np.diff(step_times) / 1e9
    if (step_j[1:] > bound_w * np.maximum(apart_s, JUMP_S)).any():
        return "counter_jumped"
    usual_s = float(np.median(apart_s)) if apart_s.size > 1 else 0.0
    read_s = float(np.median(np.diff(series.energy_t_ns))) / 1e9
    quiet_s = longest_gap_s(step_times, window) if step_times.size else window.seconds
    drew_power = highest > 0 or not series.power_w.size
    silent_s = max(MIN_GAP_S, SILENT_READS * read_s, min(SILENT_STEPS * usual_s, SILENT_S))
    return "counter_silent" if drew_power and quiet_s > silent_s else None


def _with_neighbours(t_ns: Ints, window: Window, among: Bools | None = None) -> Bools:
    """Readings inside the window, and on either side up to the nearest one that is ``among`` these."""
    times = t_ns if among is None or not among.any() else t_ns[among]
    first = max(int(np.searchsorted(times, window.start_ns, side="right")) - 1, 0)
    last = min(int(np.searchsorted(times, window.end_ns, side="left")), times.size - 1)
    return np.asarray((t_ns >= times[first]) & (t_ns <= times[last]), dtype=np.bool_)
