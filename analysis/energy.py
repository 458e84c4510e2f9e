"""Joules of a window: counter against integral, device by device, then summed over one (boundary, source).

Nothing is ever summed over two boundaries or two sources: modelled watts never join measured ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.aliasing import Aliasing, look_for_aliasing
from analysis.arrays import Ints
from analysis.averages import Slow, slow_average
from analysis.counter import EXACT_COUNTERS, MIN_STEPS, CounterReading, counter
from analysis.power import Curve, Integral, PowerSeries, covers, integral, longest_gap_s
from analysis.sensor import CLOCK_BOUND, Gain, Sensor, Sensors, no_calibration
from analysis.window import Window

DISAGREEMENT_BOUND = 0.05
DISAGREEMENT_ERRORS = 3.0  # ... or this many standard errors, where a short window allows no better
MIN_SAMPLES = 20
_MOST_EDGE = 0.2  # of a phase: more is not left out at either end


@dataclass(frozen=True)
class DeviceEnergy:
    """One device over one window; joules are those that it shows times its gain's factor."""

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
class BoundaryEnergy:
    """All devices of one boundary, by one source, over the window of a cell."""

    boundary: str
    source: str
    devices: tuple[DeviceEnergy, ...]
    energy_j: float | None
    counter_j: float | None
    integral_j: float | None
    disagreement: float | None
    error_j: float | None  # sampling
    counter_error_j: float | None
    integral_error_j: float | None
    gain_half_width: float | None  # relative; None: nothing is known of it
    idle_before_w: float | None
    idle_after_w: float | None
    reasons: tuple[str, ...]

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Of each device; empty where one has none."""
        found = tuple(device.curve for device in self.devices if device.curve is not None)
        return found if len(found) == len(self.devices) else ()

    @property
    def samples(self) -> int:
        """Readings inside the window of the device that was read least."""
        return min(device.samples for device in self.devices)

    @property
    def gap_s(self) -> float:
        """The longest stretch without a reading of any device."""
        return max(device.gap_s for device in self.devices)

    @property
    def counter_faults(self) -> tuple[str, ...]:
        """What was wrong with counters, if anything."""
        return tuple(sorted({device.counter_fault for device in self.devices if device.counter_fault}))

    @property
    def disagreement_bound(self) -> float:
        """How far counter and integral may be apart."""
        return max(device.disagreement_bound for device in self.devices)


def device_energy(
    series: PowerSeries,
    window: Window,
    sensors: Sensors | None = None,
    events_ns: tuple[Ints, ...] = (),
) -> DeviceEnergy:
    """Joules of ``series`` in ``window``, by both methods, and which of them is used.

    ``events_ns`` are sets of moments at which the load acted: they show power that is periodic with the sensor.
    """
    sensors = sensors or no_calibration()
    sensor = sensors.sensor(
        series.device, series.source, averaged=series.averaged, reading_s=series.reading_s
    )
    gain = sensors.gain(series.device, series.source)
    by_power = integral(series, window, sensor)
    exact = series.source in EXACT_COUNTERS
    reading = counter(series, window, sensor, by_power, sensors.limit_w(series.device))
    slow = slow_average(series, window, sensors)
    aliasing = _aliasing(series, window, sensor, by_power, slow, events_ns)
    aliased = aliasing is not None and aliasing.found
    by_average = slow.instead_of(by_power, aliased=aliased) if slow and by_power else None
    by_power = by_average or by_power
    trusted = reading.curve is not None and (exact or _better(reading, by_power))
    trusted = trusted and not (aliased and by_average)
    curve = reading.curve if trusted else by_power.curve if by_power else None
    difference = _disagreement(
        *(one.curve.total_j if one and one.curve else None for one in (reading, by_power))
    )
    bound = _bound(reading, by_power)
    seen_ns = series.t_ns if trusted else series.power_t_ns  # a reading without a value is none
    gap_s = longest_gap_s(seen_ns, window) if seen_ns.size else window.seconds
    reasons = []
    if seen_ns.size and (gap_s > series.gap_bound_s or not covers(seen_ns, window, series.gap_bound_s)):
        reasons.append("power_gap")
    if (
        not series.modelled
        and difference is not None
        and abs(difference) > bound
        and reading.steps >= MIN_STEPS
    ):
        reasons.append("counter_disagrees")
    if curve is None and reading.fault:
        reasons.append(reading.fault)
    elif curve is None and not reasons:
        reasons.append("no_power" if reading.curve is None else "window_too_short")
    if aliased and not by_average:
        reasons.append("aliased")
    if sensor.clock_s / 2 > CLOCK_BOUND * window.seconds:
        reasons.append("clock_uncertain")
    integral_error_j = _times(by_power.error_j if by_power else None, gain.factor)
    counter_error_j = _times(reading.error_j, gain.factor)
    return DeviceEnergy(
        series=series,
        sensor=sensor,
        gain=gain,
        energy_j=_times(curve.total_j if curve else None, gain.factor),
        method=None if curve is None else "counter" if trusted else "average" if by_average else "integral",
        counter_j=_times(reading.curve.total_j if reading.curve else None, gain.factor),
        integral_j=_times(by_power.curve.total_j if by_power else None, gain.factor),
        disagreement=difference,
        disagreement_bound=bound,
        error_j=counter_error_j if trusted else integral_error_j,
        counter_error_j=counter_error_j,
        integral_error_j=integral_error_j,
        samples=int(((series.t_ns >= window.start_ns) & (series.t_ns <= window.end_ns)).sum()),
        gap_s=gap_s,
        curve=None if curve is None else Curve(curve.t_s, curve.energy_j * gain.factor),
        counter_fault=reading.fault,
        aliasing=aliasing,
        reasons=tuple(reasons),
    )


def _aliasing(
    series: PowerSeries,
    window: Window,
    sensor: Sensor,
    by_power: Integral | None,
    slow: Slow | None,
    events_ns: tuple[Ints, ...],
) -> Aliasing | None:
    """The board's own sensor alone can alias; its slow average, where it has one, is the second opinion."""
    if series.source != "nvml" or by_power is None:
        return None
    events_s = tuple((events - window.start_ns) / 1e9 for events in events_ns)
    averages = slow.beside(by_power) if slow else None
    return look_for_aliasing(by_power.readings, sensor, window.seconds, events_s, averages)


def _better(reading: CounterReading, by_power: Integral | None) -> bool:
    """Whether a counter that ran through the window is used: enough of its steps, or the smaller error."""
    if by_power is None or reading.steps >= MIN_STEPS:
        return reading.steps >= MIN_STEPS
    errors = (reading.error_j, by_power.error_j)
    return errors[0] is not None and errors[1] is not None and errors[0] < errors[1] and reading.steps > 2


def _bound(reading: CounterReading, by_power: Integral | None) -> float:
    """How far counter and integral may be apart before one of them must be wrong, relative."""
    if reading.curve is None or by_power is None or reading.curve.total_j <= 0:
        return DISAGREEMENT_BOUND
    errors = np.hypot(reading.error_j or 0.0, by_power.error_j or 0.0)
    return max(DISAGREEMENT_BOUND, DISAGREEMENT_ERRORS * float(errors) / reading.curve.total_j)


def boundary_energies(
    series: list[PowerSeries],
    window: Window,
    idle_before: Window | None,
    idle_after: Window | None,
    sensors: Sensors | None = None,
    events_ns: tuple[Ints, ...] = (),
) -> list[BoundaryEnergy]:
    """One result for each (boundary, source), sorted; devices of the same pair are summed."""
    pairs = sorted({(one.boundary, one.source) for one in series})
    found = []
    for pair in pairs:
        own = [one for one in series if (one.boundary, one.source) == pair]
        idle = [_mean_power(own, phase, sensors) for phase in (idle_before, idle_after)]
        devices = tuple(device_energy(one, window, sensors, events_ns) for one in own)
        found.append(_summed(devices, idle[0], idle[1]))
    return found


def rank(boundary: str, source: str) -> tuple[bool, int, str, str]:
    """Sorts what is shown where there is room for one: measured before modelled, GPU before wall before CPU."""
    order = ("gpu", "host", "cpu", "dram")
    place = order.index(boundary) if boundary in order else len(order)
    return source == "modelled", place, boundary, source


def primary(energies: list[BoundaryEnergy]) -> BoundaryEnergy | None:
    """The one that ``rank`` puts first."""
    return min(energies, key=lambda one: rank(one.boundary, one.source), default=None)


def _summed(
    devices: tuple[DeviceEnergy, ...], idle_before_w: float | None, idle_after_w: float | None
) -> BoundaryEnergy:
    counter_j, integral_j = _total([d.counter_j for d in devices]), _total([d.integral_j for d in devices])
    return BoundaryEnergy(
        boundary=devices[0].series.boundary,
        source=devices[0].series.source,
        devices=devices,
        energy_j=_total([d.energy_j for d in devices]),
        counter_j=counter_j,
        integral_j=integral_j,
        disagreement=_disagreement(counter_j, integral_j),
        error_j=_in_squares([d.error_j for d in devices]),
        counter_error_j=_in_squares([d.counter_error_j for d in devices]),
        integral_error_j=_in_squares([d.integral_error_j for d in devices]),
        gain_half_width=_gain(devices),
        idle_before_w=idle_before_w,
        idle_after_w=idle_after_w,
        reasons=tuple(sorted({reason for device in devices for reason in device.reasons})),
    )


def _gain(devices: tuple[DeviceEnergy, ...]) -> float | None:
    """Boards' gains are independent of each other: half-widths in joules add up in squares."""
    half_j = _in_squares([_times(device.gain.half_width, device.energy_j) for device in devices])
    total_j = _total([device.energy_j for device in devices])
    return None if half_j is None or not total_j else half_j / total_j


def _mean_power(series: list[PowerSeries], stretch: Window | None, sensors: Sensors | None) -> float | None:
    """Watts over a phase, all devices together; None where there is no phase or a device has no readings.

    A phase of steady power needs no edges: what a sensor still shows, or shows already, of its neighbours is left out.
    """
    if stretch is None or stretch.end_ns <= stretch.start_ns:
        return None
    powers = []
    for one in series:
        inner = _without_edges(one, stretch, sensors or no_calibration())
        energy_j = device_energy(one, inner, sensors).energy_j
        powers.append(None if energy_j is None else energy_j / inner.seconds)
    return _total(powers)


def _without_edges(series: PowerSeries, stretch: Window, sensors: Sensors) -> Window:
    sensor = sensors.sensor(
        series.device, series.source, averaged=series.averaged, reading_s=series.reading_s
    )
    reach_s = sensor.window_s + sensor.update_s + sensor.lag_s + sensor.step_s + sensor.clock_s
    off_ns = int(1e9 * min(reach_s, _MOST_EDGE * stretch.seconds))
    return Window(stretch.start_ns + off_ns, stretch.end_ns - off_ns)


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _in_squares(values: list[float | None]) -> float | None:
    """The root of the sum of squares: of errors that are independent of each other."""
    total = _total([None if value is None else value**2 for value in values])
    return None if total is None else float(np.sqrt(total))


def _disagreement(counter_j: float | None, integral_j: float | None) -> float | None:
    if counter_j is None or integral_j is None:
        return None
    if counter_j == 0:
        return 0.0 if integral_j == 0 else None
    return (integral_j - counter_j) / counter_j


def _times(value: float | None, factor: float | None) -> float | None:
    return None if value is None or factor is None else value * factor
