"""Joules of a window: counter against integral, device by device, then summed over one (boundary, source).

Nothing is ever summed over two boundaries or two sources: modelled watts never join measured ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.energy.device import DeviceEnergy, device_energy, disagreement, scaled
from analysis.energy.integral import Curve, PowerSeries
from analysis.energy.moments import Moments
from analysis.energy.sensor import Sensors, no_calibration
from analysis.requests.window import Window

MIN_SAMPLES = 20
# No device shows this; a CPU that does nothing is modelled at 0 W.
_NO_DEVICE = frozenset({"power_impossible", "power_zero"})
_MOST_EDGE = 0.2  # of a phase: more is not left out at either end


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
    # Of the joules, relative, by factors and offsets; None: nothing is known of it.
    gain_half_width: float | None
    gain_offset_half_w: float | None  # the offsets' part alone: what does not cancel in ratios
    idle_before_w: float | None
    idle_after_w: float | None
    reasons: tuple[str, ...]

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Return the curve of each device; empty where one has none."""
        curves = tuple(device.curve for device in self.devices if device.curve is not None)
        return curves if len(curves) == len(self.devices) else ()

    @property
    def samples(self) -> int:
        """Return readings inside the window of the device that was read least."""
        return min(device.samples for device in self.devices)

    @property
    def gap_s(self) -> float:
        """Return the longest stretch without a reading of any device."""
        return max(device.gap_s for device in self.devices)

    @property
    def counter_faults(self) -> tuple[str, ...]:
        """Name what was wrong with counters, if anything."""
        return tuple(sorted({device.counter_fault for device in self.devices if device.counter_fault}))

    @property
    def disagreement_bound(self) -> float:
        """Say how far counter and integral may be apart."""
        return max(device.disagreement_bound for device in self.devices)


def boundary_energies(
    series: list[PowerSeries],
    window: Window,
    idle_before: Window | None,
    idle_after: Window | None,
    sensors: Sensors | None = None,
    events: tuple[Moments, ...] = (),
) -> list[BoundaryEnergy]:
    """Return one result for each (boundary, source), sorted; devices of the same pair are summed."""
    pairs = sorted({(device.boundary, device.source) for device in series})
    energies = []
    for pair in pairs:
        devices_read = [device for device in series if (device.boundary, device.source) == pair]
        idle = [_mean_power(devices_read, phase, sensors) for phase in (idle_before, idle_after)]
        devices = tuple(device_energy(device, window, sensors, events) for device in devices_read)
        energies.append(_summed(devices, window.seconds, idle[0], idle[1]))
    return energies


def rank(boundary: str, source: str) -> tuple[bool, int, str, str]:
    """Sort what is shown where there is room for one: measured before modelled, GPU before wall before CPU."""
    order = ("gpu", "host", "cpu", "dram")
    place = order.index(boundary) if boundary in order else len(order)
    return source == "modelled", place, boundary, source


def primary(energies: list[BoundaryEnergy]) -> BoundaryEnergy | None:
    """Return the one that ``rank`` puts first."""
    return min(energies, key=lambda energy: rank(energy.boundary, energy.source), default=None)


def _summed(
    devices: tuple[DeviceEnergy, ...],
    seconds: float,
    idle_before_w: float | None,
    idle_after_w: float | None,
) -> BoundaryEnergy:
    counter_j, integral_j = _total([d.counter_j for d in devices]), _total([d.integral_j for d in devices])
    return BoundaryEnergy(
        boundary=devices[0].series.boundary,
        source=devices[0].series.source,
        devices=devices,
        energy_j=_total([d.energy_j for d in devices]),
        counter_j=counter_j,
        integral_j=integral_j,
        disagreement=disagreement(counter_j, integral_j),
        error_j=_in_squares([d.error_j for d in devices]),
        counter_error_j=_in_squares([d.counter_error_j for d in devices]),
        integral_error_j=_in_squares([d.integral_error_j for d in devices]),
        gain_half_width=_gain(devices, seconds),
        gain_offset_half_w=_in_squares([device.gain.offset_half_w for device in devices]),
        idle_before_w=idle_before_w,
        idle_after_w=idle_after_w,
        reasons=tuple(sorted({reason for device in devices for reason in device.reasons})),
    )


def _gain(devices: tuple[DeviceEnergy, ...], seconds: float) -> float | None:
    """Factors and offsets are independent of each other, and boards' of others': half-widths in joules in squares."""
    factors_j = [scaled(device.gain.half_width, device.energy_j) for device in devices]
    offsets_j = [scaled(device.gain.offset_half_w, seconds) for device in devices]
    half_j = _in_squares([*factors_j, *offsets_j])
    total_j = _total([device.energy_j for device in devices])
    return None if half_j is None or not total_j else half_j / total_j


def _mean_power(series: list[PowerSeries], stretch: Window | None, sensors: Sensors | None) -> float | None:
    """Watts over a phase, all devices together; None where there is none, or a device has no possible readings.

    A phase of steady power needs no edges: what a sensor still shows, or shows already, of its neighbours is left out.
    """
    if stretch is None or stretch.end_ns <= stretch.start_ns:
        return None
    powers = []
    for device in series:
        inner = _without_edges(device, stretch, sensors or no_calibration())
        energy = device_energy(device, inner, sensors)
        impossible = not device.modelled and not _NO_DEVICE.isdisjoint(energy.reasons)
        powers.append(None if impossible else scaled(energy.energy_j, 1 / inner.seconds))
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
    """Return the root of the sum of squares: of errors that are independent of each other."""
    total = _total([None if value is None else value**2 for value in values])
    return None if total is None else float(np.sqrt(total))
