"""``power.parquet`` of one cell as one series a device, and the two ways to get joules out of a series.

The *counter* is the device's own ``energy_j``; the *integral* is the trapezoid of instantaneous power. Each
is a ``Curve``: cumulative joules over a window, zero at its start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import Bools, Floats, Ints, equals, floats, ints
from analysis.window import Window

MIN_GAP_S = 1.0  # a longer stretch without a sample is a gap ...
GAP_PERIODS = 5.0  # ... unless the meter is so slow that this many of its periods are longer still
MIN_STEPS = 20  # below, an edge can be off by more than a twentieth of the window (docs/measurement.md)
JUMP_FACTOR = 3.0  # a counter that runs faster than this times the highest power seen has jumped
JUMP_W = 5_000.0  # where no power is known: no device of ours draws this much
JUMP_S = 0.25  # a late sampler may see a step right after it: steps are set against at least this long
SILENT_STEPS = 20.0  # no step for this many usual steps (and a second), while power was drawn


@dataclass(frozen=True)
class PowerSeries:
    """One device's readings in time order; what it did not offer is left out, so lengths differ."""

    device: str
    boundary: str
    source: str
    t_ns: Ints  # (k,) every reading
    power_t_ns: Ints  # (p,) readings with power
    power_w: Floats  # (p,) instantaneous; the meter's average where it has no instantaneous reading at all
    energy_t_ns: Ints  # (e,) readings with the counter
    energy_j: Floats  # (e,)

    @property
    def modelled(self) -> bool:
        """Whether this is CPU time x watts, an estimate."""
        return self.source == "modelled"

    @property
    def gap_bound_s(self) -> float:
        """The longest stretch without a reading that is not a gap."""
        if self.t_ns.size < 2:
            return MIN_GAP_S
        return max(MIN_GAP_S, GAP_PERIODS * float(np.median(np.diff(self.t_ns))) / 1e9)


@dataclass(frozen=True)
class Curve:
    """Joules used since the window's start, linear between knots."""

    t_s: Floats  # (k,) seconds from the window's start, ascending, first 0, last the window's length
    energy_j: Floats  # (k,) cumulative, first 0

    @property
    def total_j(self) -> float:
        """Joules of the whole window."""
        return float(self.energy_j[-1])

    def at(self, t_s: Floats) -> Floats:
        """Cumulative joules at each of ``t_s``, clamped to the window."""
        return np.interp(t_s, self.t_s, self.energy_j)

    def scaled_to(self, total_j: float) -> Curve:
        """The same shape with another total."""
        return Curve(self.t_s, self.energy_j * (total_j / self.total_j))


@dataclass(frozen=True)
class CounterReading:
    """What the energy counter says of a window; ``curve`` is None where it says nothing or is caught."""

    curve: Curve | None
    steps: int  # updates of the counter inside the window
    step_j: float  # the median update
    fault: str | None  # counter_backwards, counter_jumped or counter_silent


def read_series(table: pa.Table) -> list[PowerSeries]:
    """One series for each (device, boundary, source) of a ``power`` trace, sorted by these names."""
    names = ("device", "boundary", "source")
    for name in names:
        filled = pc.fill_null(table.column(name), "unknown")
        table = table.set_column(table.schema.get_field_index(name), name, filled)
    keys = sorted(
        tuple(row[name] for name in names) for row in table.group_by(list(names)).aggregate([]).to_pylist()
    )
    return [_one_series(table, *key) for key in keys]


def _one_series(table: pa.Table, device: str, boundary: str, source: str) -> PowerSeries:
    mask = (
        equals(table, "device", device)
        & equals(table, "boundary", boundary)
        & equals(table, "source", source)
    )
    rows = table.filter(pa.array(mask))
    t_ns, timed = ints(rows, "t_ns")
    order = np.argsort(t_ns, kind="stable")
    order = order[timed[order]]
    instant, average, energy = (floats(rows, name)[order] for name in ("power_w", "power_avg_w", "energy_j"))
    t_ns = t_ns[order]
    power = instant if np.isfinite(instant).any() else average
    has_power, has_energy = np.isfinite(power), np.isfinite(energy)
    return PowerSeries(
        device=device,
        boundary=boundary,
        source=source,
        t_ns=t_ns,
        power_t_ns=t_ns[has_power],
        power_w=power[has_power],
        energy_t_ns=t_ns[has_energy],
        energy_j=energy[has_energy],
    )


def longest_gap_s(t_ns: Ints, window: Window) -> float:
    """The longest stretch of the window without a reading, in seconds, its edges included."""
    inside = t_ns[(t_ns > window.start_ns) & (t_ns < window.end_ns)]
    before = t_ns[t_ns <= window.start_ns][-1:]
    after = t_ns[t_ns >= window.end_ns][:1]
    edges = (
        before if before.size else np.array([window.start_ns]),
        inside,
        after if after.size else np.array([window.end_ns]),
    )
    return float(np.diff(np.concatenate(edges)).max()) / 1e9


def covers(t_ns: Ints, window: Window, tolerance_s: float) -> bool:
    """Whether readings reach from the window's start to its end, within ``tolerance_s``."""
    slack = int(tolerance_s * 1e9)
    return (
        t_ns.size >= 2 and int(t_ns[0]) <= window.start_ns + slack and int(t_ns[-1]) >= window.end_ns - slack
    )


def integral(series: PowerSeries, window: Window) -> Curve | None:
    """The trapezoid of power over the window, edges interpolated; None where readings do not reach it."""
    if not covers(series.power_t_ns, window, series.gap_bound_s):
        return None
    inside = (series.power_t_ns > window.start_ns) & (series.power_t_ns < window.end_ns)
    t_s = _knots(series.power_t_ns[inside], window)
    power_w = np.interp(t_s, (series.power_t_ns - window.start_ns) / 1e9, series.power_w)
    steps = np.diff(t_s) * (power_w[1:] + power_w[:-1]) / 2
    return Curve(t_s, np.concatenate(([0.0], np.cumsum(steps))))


def counter(series: PowerSeries, window: Window) -> CounterReading:
    """The counter over the window.

    A hardware counter is a staircase seen by a sampler: its value is exact when it has just changed, so edges
    are interpolated between changes. The modelled counter is exact at every reading.
    """
    t_ns, energy_j = series.energy_t_ns, series.energy_j
    nothing = CounterReading(None, 0, 0.0, None)
    if not covers(t_ns, window, series.gap_bound_s):
        return nothing
    changes = np.diff(energy_j, prepend=energy_j[0])
    moved = changes != 0
    near = _with_neighbours(t_ns, window) if series.modelled else _with_neighbours(t_ns, window, moved)
    inside = moved & (t_ns > window.start_ns) & (t_ns <= window.end_ns)
    steps = int(inside.sum())
    step_j = float(np.median(changes[inside])) if steps else 0.0
    fault = _fault(series, window, t_ns[near], changes[near], moved[near])
    exact = np.ones_like(moved) if series.modelled else moved
    knots_ns, knots_j = t_ns[exact & near], energy_j[exact & near]
    if fault or not covers(knots_ns, window, series.gap_bound_s):
        return CounterReading(None, steps, step_j, fault)
    within = (knots_ns > window.start_ns) & (knots_ns < window.end_ns)
    t_s = _knots(knots_ns[within], window)
    cumulative = _extended((knots_ns - window.start_ns) / 1e9, knots_j, t_s)
    return CounterReading(Curve(t_s, cumulative - cumulative[0]), steps, step_j, None)


def _extended(knots_s: Floats, knots_j: Floats, t_s: Floats) -> Floats:
    """Interpolates, and beyond the first and last knot goes on at the mean power between them.

    Holding the counter there would lose the joules of the last part of a step.
    """
    power_w = (knots_j[-1] - knots_j[0]) / (knots_s[-1] - knots_s[0]) if knots_s[-1] > knots_s[0] else 0.0
    beyond_s = np.minimum(t_s - knots_s[0], 0.0) + np.maximum(t_s - knots_s[-1], 0.0)
    return np.asarray(np.interp(t_s, knots_s, knots_j) + power_w * beyond_s, dtype=np.float64)


def _fault(series: PowerSeries, window: Window, t_ns: Ints, changes: Floats, moved: Bools) -> str | None:
    """What is wrong with the counter's changes in and around the window, if anything."""
    if (changes[1:] < 0).any():
        return "counter_backwards"
    if series.modelled:
        return None
    highest = float(series.power_w.max()) if series.power_w.size else 0.0
    bound_w = JUMP_FACTOR * highest if highest > 0 else JUMP_W
    step_times, step_j = t_ns[moved], changes[moved]
    apart_s = np.diff(step_times) / 1e9
    if (step_j[1:] > bound_w * np.maximum(apart_s, JUMP_S)).any():
        return "counter_jumped"
    usual_s = float(np.median(apart_s)) if apart_s.size > 1 else 0.0
    quiet_s = longest_gap_s(step_times, window) if step_times.size else window.seconds
    drew_power = highest > 0 or not series.power_w.size
    return "counter_silent" if drew_power and quiet_s > max(MIN_GAP_S, SILENT_STEPS * usual_s) else None


def _with_neighbours(t_ns: Ints, window: Window, among: Bools | None = None) -> Bools:
    """Readings inside the window, and on either side up to the nearest one that is ``among`` these."""
    times = t_ns if among is None or not among.any() else t_ns[among]
    first = max(int(np.searchsorted(times, window.start_ns, side="right")) - 1, 0)
    last = min(int(np.searchsorted(times, window.end_ns, side="left")), times.size - 1)
    return np.asarray((t_ns >= times[first]) & (t_ns <= times[last]), dtype=np.bool_)


def _knots(inside_ns: Ints, window: Window) -> Floats:
    return np.concatenate(([0.0], (inside_ns - window.start_ns) / 1e9, [window.seconds]))
