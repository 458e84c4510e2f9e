"""``power.parquet`` of one cell as one series a device, and joules by the integral of its power.

The other way, the device's own counter, is in ``analysis/energy/counter.py``. Each gives a ``Curve``: cumulative
joules over a window, zero at its start.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import Bools, Floats, Ints, floats, ints
from analysis.energy.log_clock import clock_step_s
from analysis.energy.moments import Moments
from analysis.energy.rhythm import Rhythm, rhythm_of
from analysis.energy.sampling import (
    RESOLUTION_W,
    SamplingError,
    Updates,
    edges_error_j,
    holes_error_j,
    sampling_error,
    updates,
)
from analysis.energy.sensor import Sensor
from analysis.requests.window import Window

_Values = TypeVar("_Values", Floats, Ints)
MIN_GAP_S = 1.0  # a longer stretch without a sample is a gap ...
GAP_PERIODS = 5.0  # ... unless the meter is so slow that this many of its periods are longer still
_REACH_S = 1.0  # readings this far outside a window help to place those inside


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
    averaged: bool = False  # power_w is the meter's average: it has no instantaneous reading
    average_t_ns: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # (a,) where it has both
    average_w: Floats = field(default_factory=lambda: np.zeros(0))  # (a,)
    limits_w: tuple[float, ...] = ()  # the power limits that it had, each once, ascending
    clock_step_s: float = 0.0  # by how much a log's own clock was seen to move against ours

    @property
    def modelled(self) -> bool:
        """Tell whether this is CPU time x watts, an estimate."""
        return self.source == "modelled"

    @cached_property
    def reading_s(self) -> float:
        """Give the usual time from one reading to the next."""
        return _usual_s(self.t_ns)

    @cached_property
    def counter_gap_bound_s(self) -> float:
        """Return the bound of the counter's gaps, which is read at a rate of its own."""
        return _gap_bound_s(self.energy_t_ns)

    @cached_property
    def gap_bound_s(self) -> float:
        """Return the longest stretch without a reading that is not a gap."""
        return _gap_bound_s(self.t_ns)


def _usual_s(t_ns: Ints) -> float:
    return float(np.median(np.diff(t_ns))) / 1e9 if t_ns.size > 1 else MIN_GAP_S


def _gap_bound_s(t_ns: Ints) -> float:
    return max(MIN_GAP_S, GAP_PERIODS * _usual_s(t_ns)) if t_ns.size > 1 else MIN_GAP_S


@dataclass(frozen=True)
class Curve:
    """Joules used since the window's start, linear between knots."""

    t_s: Floats  # (k,) seconds from the window's start, ascending, first 0, last the window's length
    energy_j: Floats  # (k,) cumulative, first 0

    @property
    def total_j(self) -> float:
        """Return joules of the whole window."""
        return float(self.energy_j[-1])

    def at(self, t_s: Floats) -> Floats:
        """Return cumulative joules at each of ``t_s``, clamped to the window."""
        return np.interp(t_s, self.t_s, self.energy_j)

    def scaled_to(self, total_j: float) -> Curve:
        """Return the same shape with another total."""
        return Curve(self.t_s, self.energy_j * (total_j / self.total_j))


@dataclass(frozen=True)
class Integral:
    """Power over a window, and what its sensor may have missed."""

    curve: Curve
    readings: Updates  # those inside the window
    error: SamplingError | None  # None: too few readings to tell
    rhythm: Rhythm | None = None  # None: the load keeps none, as far as is known

    @property
    def error_j(self) -> float | None:
        """Return the standard error of the total."""
        if self.error is None:
            return None
        seconds = float(self.curve.t_s[-1])
        variance = self.error.unseen_j2_per_s * seconds + self.error.edges_j2 + self.rhythm_j2
        return float(np.sqrt(variance)) + RESOLUTION_W * seconds

    @property
    def rhythm_j2(self) -> float:
        """Return the part of the total's variance that the load's rhythm leaves open."""
        return 0.0 if self.rhythm is None else self.rhythm.variance_j2


def read_series(table: pa.Table) -> list[PowerSeries]:
    """Read one series for each (device, boundary, source) of a ``power`` trace, sorted by these names."""
    place = np.zeros(table.num_rows, dtype=np.int64)
    columns = []
    for name in ("device", "boundary", "source"):
        column = pc.fill_null(table.column(name), "unknown").combine_chunks().dictionary_encode()
        place = place * len(column.dictionary) + column.indices.to_numpy()
        columns.append(column)
    _, first, of = np.unique(place, return_index=True, return_inverse=True)
    keys = sorted((*(column[int(row)].as_py() for column in columns), at) for at, row in enumerate(first))
    if len(keys) == 1:
        return [_one_series(table, *keys[0][:-1])]
    return [_one_series(table.filter(pa.array(of == at)), *names) for *names, at in keys]


def _one_series(rows: pa.Table, device: str, boundary: str, source: str) -> PowerSeries:
    t_ns, timed = ints(rows, "t_ns")
    order = np.argsort(t_ns, kind="stable")
    order = order[timed[order]]
    instant, average, energy = (floats(rows, name)[order] for name in ("power_w", "power_avg_w", "energy_j"))
    limit = floats(rows, "power_limit_w") if "power_limit_w" in rows.schema.names else np.zeros(0)
    t_ns = t_ns[order]
    late_s = floats(rows, "read_ns")[order] * 1e-9 if source == "external" else np.zeros(0)
    averaged = not np.isfinite(instant).any()
    power = average if averaged else instant
    has_power, has_energy = np.isfinite(power), np.isfinite(energy)
    has_average = np.isfinite(average) & (not averaged)
    return PowerSeries(
        device=device,
        boundary=boundary,
        source=source,
        t_ns=t_ns,
        power_t_ns=_where(t_ns, has_power),
        power_w=_where(power, has_power),
        energy_t_ns=_where(t_ns, has_energy),
        energy_j=_where(energy, has_energy),
        averaged=averaged,
        average_t_ns=_where(t_ns, has_average),
        average_w=_where(average, has_average),
        limits_w=tuple(np.unique(limit[np.isfinite(limit)]).tolist()),
        clock_step_s=clock_step_s(t_ns, late_s),
    )


def _where(values: _Values, chosen: Bools) -> _Values:
    """Return the chosen of some values; they themselves where all are."""
    picked: _Values = values if chosen.all() else values[chosen]
    return picked


def longest_gap_s(t_ns: Ints, window: Window) -> float:
    """Return the longest stretch of the window without a reading, in seconds, its edges included."""
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
    """Tell whether readings reach from the window's start to its end, within ``tolerance_s``."""
    slack = int(tolerance_s * 1e9)
    return (
        t_ns.size >= 2 and int(t_ns[0]) <= window.start_ns + slack and int(t_ns[-1]) >= window.end_ns - slack
    )


def integral(
    series: PowerSeries, window: Window, sensor: Sensor, events: tuple[Moments, ...] = ()
) -> Integral | None:
    """Return the trapezoid of the sensor's own readings over the window, each at the middle of what it averaged over.

    Readings lag behind power by half an averaging window, the sensor's lag, and half an update period where it is
    polled more slowly: all are taken off, or the edges of a window would be those of another one. None where readings
    do not reach it. ``events`` are sets of moments at which the load acted.
    """
    if not covers(series.power_t_ns, window, series.gap_bound_s):
        return None
    reach_ns = int((2 * (sensor.window_s + sensor.update_s + sensor.lag_s) + _REACH_S) * 1e9)
    near = (series.power_t_ns > window.start_ns - reach_ns) & (series.power_t_ns < window.end_ns + reach_ns)
    polled_s = (series.power_t_ns[near] - window.start_ns) / 1e9
    if np.unique(polled_s).size < 2:
        return None
    readings = updates(polled_s, series.power_w[near], sensor)
    inside = (readings.t_s > 0) & (readings.t_s < window.seconds)
    t_s = np.concatenate(([0.0], readings.t_s[inside], [window.seconds]))
    power_w = np.interp(t_s, readings.t_s, readings.power_w)
    steps = np.diff(t_s) * (power_w[1:] + power_w[:-1]) / 2
    within = replace(readings, t_s=readings.t_s[inside], power_w=readings.power_w[inside])
    curve = Curve(t_s, np.concatenate(([0.0], np.cumsum(steps))))
    rhythm = rhythm_of(within, sensor, window, events, curve.total_j) if within.t_s.size else None
    error = sampling_error(within, sensor)
    if error is not None:
        polled_s = polled_s[(polled_s > 0) & (polled_s < window.seconds)]
        edges_j2 = error.edges_j2 + edges_error_j(readings, sensor, window.seconds) ** 2
        edges_j2 += holes_error_j(polled_s, within, sensor) ** 2
        error = replace(error, edges_j2=edges_j2)
    return Integral(curve, within, error, rhythm)
