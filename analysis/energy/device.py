"""Joules of one device in a window: which of its witnesses is believed, and why it may not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.arrays import Ints
from analysis.energy.aliasing import Aliasing, look_for_aliasing
from analysis.energy.counter import EXACT_COUNTERS, MIN_STEPS, CounterReading, counter
from analysis.energy.integral import Curve, Integral, PowerSeries, covers, integral, longest_gap_s
from analysis.energy.moments import Moments
from analysis.energy.plausibility import (
    average_is_plausible,
    is_impossible,
    is_limit_changed,
    is_stuck,
    is_zero,
)
from analysis.energy.sensor import BOARDS, CLOCK_BOUND, Gain, Sensor, Sensors, no_calibration
from analysis.energy.slow_average import slow_average
from analysis.requests.window import Window

DISAGREEMENT_BOUND = 0.05
DISAGREEMENT_ERRORS = 3.0  # ... or this many standard errors, where a short window allows no better


@dataclass(frozen=True)
class DeviceEnergy:
    """One device over one window; joules are those that it shows, with its gain applied."""

    series: PowerSeries
    sensor: Sensor
    gain: Gain
    energy_j: float | None  # the counter's where it may be used, otherwise the integral's
    method: str | None  # counter, integral, or average: the integral of the board's slow average
    counter_j: float | None
    integral_j: float | None
    disagreement: float | None  # (integral - counter) / counter
    disagreement_bound: float
    error_j: float | None  # standard error of energy_j from sampling; the sensor's gain is not in it
    counter_error_j: float | None
    integral_error_j: float | None
    samples: int  # readings inside the window
    gap_s: float  # longest stretch without a reading
    curve: Curve | None  # of energy_j, for attribution
    counter_fault: str | None
    aliasing: Aliasing | None  # None: not looked for (means since the last reading see everything)
    reasons: tuple[str, ...]  # why energy_j is not to be trusted, or is None


@dataclass(frozen=True)
class _Witnesses:
    """Hold what each way to one device's joules gives, as the device shows them, before one of them is believed."""

    series: PowerSeries
    window: Window
    sensor: Sensor
    counter: CounterReading
    power: Integral | None  # of its readings, or of its slow average where that is the surer one
    averaged: bool  # whether ``power`` is the slow average's
    aliasing: Aliasing | None
    implausible: tuple[str, ...]  # what its readings are that no device gives

    @property
    def aliased(self) -> bool:
        """Tell whether its readings may have kept in step with the power."""
        return self.aliasing is not None and self.aliasing.found

    @property
    def counter_j(self) -> float | None:
        """Return joules by the counter."""
        return None if self.counter.curve is None else self.counter.curve.total_j

    @property
    def power_j(self) -> float | None:
        """Return joules by the integral of power."""
        return None if self.power is None else self.power.curve.total_j

    @property
    def power_error_j(self) -> float | None:
        """Return the standard error of that integral."""
        return None if self.power is None else self.power.error_j

    @cached_property
    def method(self) -> str | None:
        """Name the first of ``_METHODS`` that holds."""
        return next((name for name, holds in _METHODS if holds(self)), None)

    @property
    def curve(self) -> Curve | None:
        """Return cumulative joules by the method that is believed."""
        if self.method == "counter":
            return self.counter.curve
        return None if self.power is None else self.power.curve

    @property
    def disagreement_bound(self) -> float:
        """Say how far counter and integral may be apart before one of them must be wrong, relative."""
        if self.counter.curve is None or self.power is None or self.counter.curve.total_j <= 0:
            return DISAGREEMENT_BOUND
        errors = np.hypot(self.counter.error_j or 0.0, self.power.error_j or 0.0)
        return max(DISAGREEMENT_BOUND, DISAGREEMENT_ERRORS * float(errors) / self.counter.curve.total_j)

    @cached_property
    def gap_s(self) -> float:
        """Return the longest stretch without a reading of the method; a reading without a value is none."""
        return longest_gap_s(self._seen_ns, self.window) if self._seen_ns.size else self.window.seconds

    @property
    def has_gap(self) -> bool:
        """Tell whether that stretch, or one at the window's edges, is too long."""
        bound_s = self.series.gap_bound_s
        return bool(self._seen_ns.size) and (
            self.gap_s > bound_s or not covers(self._seen_ns, self.window, bound_s)
        )

    @property
    def _seen_ns(self) -> Ints:
        return self.series.t_ns if self.method == "counter" else self.series.power_t_ns


def device_energy(
    series: PowerSeries,
    window: Window,
    sensors: Sensors | None = None,
    events: tuple[Moments, ...] = (),
) -> DeviceEnergy:
    """Compute the joules of ``series`` in ``window``, by both methods, and which of them is used.

    ``events`` are sets of moments at which the load acted: they show power that is periodic with the sensor.
    """
    sensors = sensors or no_calibration()
    gain = sensors.gain(series.device, series.source)
    witnesses = _witnesses(series, window, sensors, events)

    def true_j(shown_j: float | None) -> float | None:
        return None if shown_j is None else float(gain.applied(shown_j, window.seconds))

    counter_error_j = scaled(witnesses.counter.error_j, gain.factor)
    integral_error_j = scaled(witnesses.power_error_j, gain.factor)
    curve = witnesses.curve
    return DeviceEnergy(
        series=series,
        sensor=witnesses.sensor,
        gain=gain,
        energy_j=true_j(curve.total_j if curve else None),
        method=witnesses.method,
        counter_j=true_j(witnesses.counter_j),
        integral_j=true_j(witnesses.power_j),
        disagreement=disagreement(witnesses.counter_j, witnesses.power_j),
        disagreement_bound=witnesses.disagreement_bound,
        error_j=counter_error_j if witnesses.method == "counter" else integral_error_j,
        counter_error_j=counter_error_j,
        integral_error_j=integral_error_j,
        samples=int(((series.t_ns >= window.start_ns) & (series.t_ns <= window.end_ns)).sum()),
        gap_s=witnesses.gap_s,
        curve=None if curve is None else Curve(curve.t_s, gain.applied(curve.energy_j, curve.t_s)),
        counter_fault=witnesses.counter.fault,
        aliasing=witnesses.aliasing,
        reasons=(*(code for code, holds in _REASONS if holds(witnesses)), *witnesses.implausible),
    )


def _witnesses(
    series: PowerSeries, window: Window, sensors: Sensors, events: tuple[Moments, ...]
) -> _Witnesses:
    sensor = sensors.sensor(
        series.device, series.source, averaged=series.averaged, reading_s=series.reading_s
    )
    sensor = replace(sensor, clock_s=sensor.clock_s + 2 * series.clock_step_s)
    # Readings of others are means since the last one: they see everything.
    can_alias = series.source in BOARDS
    fast = integral(series, window, sensor, events if can_alias else ())
    limit_w = sensors.limit_w(series.device)
    read = counter(series, window, sensor, fast, limit_w)
    plausible = average_is_plausible(series, window, limit_w)
    slow = slow_average(series, window, sensors) if plausible else None
    aliasing = None
    if can_alias and fast is not None:
        aliasing = look_for_aliasing(fast, slow.beside(fast) if slow else None)
    aliased = aliasing is not None and aliasing.found
    average = slow.instead_of(fast, aliased=aliased) if slow and fast else None
    implausible = {
        "power_impossible": is_impossible(series, window, limit_w),
        "power_zero": is_zero(series, window),
        "power_stuck": average is None and is_stuck(series, window, events),
        "power_limit_changed": is_limit_changed(series),
    }
    return _Witnesses(
        series,
        window,
        sensor,
        read,
        average or fast,
        averaged=average is not None,
        aliasing=aliasing,
        implausible=tuple(code for code, holds in implausible.items() if holds),
    )


def _counter_is_believed(witnesses: _Witnesses) -> bool:
    """It ran through the window, and is exact, or has moved often enough, or has the smaller error.

    Readings that kept in step with the power spoil the counter's edges too: then the average is the better witness.
    """
    if witnesses.counter.curve is None or (witnesses.aliased and witnesses.averaged):
        return False
    return witnesses.series.source in EXACT_COUNTERS or _is_better(witnesses.counter, witnesses.power_error_j)


def _is_better(read: CounterReading, power_error_j: float | None) -> bool:
    if read.steps >= MIN_STEPS:
        return True
    if read.error_j is None or power_error_j is None or read.steps <= 2:
        return False
    return read.error_j < power_error_j


def _disagrees(witnesses: _Witnesses) -> bool:
    apart = disagreement(witnesses.counter_j, witnesses.power_j)
    enough = not witnesses.series.modelled and witnesses.counter.steps >= MIN_STEPS
    return enough and apart is not None and abs(apart) > witnesses.disagreement_bound


_METHODS: tuple[tuple[str, Callable[[_Witnesses], bool]], ...] = (
    ("counter", _counter_is_believed),
    ("average", lambda seen: seen.averaged),
    ("integral", lambda seen: seen.power is not None),
)
_REASONS: tuple[tuple[str, Callable[[_Witnesses], bool]], ...] = (
    ("power_gap", lambda seen: seen.has_gap),
    ("counter_disagrees", _disagrees),
    ("counter_backwards", lambda seen: _has_fault(seen, "counter_backwards")),
    ("counter_jumped", lambda seen: _has_fault(seen, "counter_jumped")),
    ("counter_silent", lambda seen: _has_fault(seen, "counter_silent")),
    ("no_power", lambda seen: _is_unexplained(seen) and seen.counter.curve is None),
    ("window_too_short", lambda seen: _is_unexplained(seen) and seen.counter.curve is not None),
    ("aliased", lambda seen: seen.aliased and not seen.averaged),
    ("clock_uncertain", lambda seen: seen.sensor.clock_s / 2 > CLOCK_BOUND * seen.window.seconds),
)


def _has_fault(witnesses: _Witnesses, code: str) -> bool:
    """Say whether the counter is caught at this and no power takes its place; RAPL's power is its counter's."""
    return (witnesses.curve is None or witnesses.series.source == "rapl") and witnesses.counter.fault == code


def _is_unexplained(witnesses: _Witnesses) -> bool:
    """There are no joules, and neither the counter's fault nor a hole in the readings says why."""
    return witnesses.curve is None and witnesses.counter.fault is None and not witnesses.has_gap


def disagreement(counter_j: float | None, integral_j: float | None) -> float | None:
    """Compute how far the integral is above the counter, relative to it; None where one is unknown, or 0 J alone."""
    if counter_j is None or integral_j is None:
        return None
    if counter_j == 0:
        return 0.0 if integral_j == 0 else None
    return (integral_j - counter_j) / counter_j


def scaled(value: float | None, factor: float | None) -> float | None:
    return None if value is None or factor is None else value * factor
