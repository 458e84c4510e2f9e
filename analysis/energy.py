"""Joules of a window: counter against integral, device by device, then summed over one (boundary, source).

Nothing is ever summed over two boundaries or two sources: modelled watts never join measured ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import Floats
from analysis.power import MIN_STEPS, Curve, PowerSeries, counter, covers, integral, longest_gap_s
from analysis.window import Window

DISAGREEMENT_BOUND = 0.05
MIN_SAMPLES = 20


@dataclass(frozen=True)
class DeviceEnergy:
    """One device over one window."""

    series: PowerSeries
    energy_j: float | None  # the counter's where it may be used, otherwise the integral's
    method: str | None  # counter or integral
    counter_j: float | None
    integral_j: float | None
    disagreement: float | None  # (integral - counter) / counter
    error_j: float | None  # standard error of energy_j from sampling; the sensor's gain is not in it
    samples: int  # readings inside the window
    gap_s: float  # longest stretch without a reading
    curve: Curve | None  # of energy_j, for attribution
    counter_fault: str | None
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
    error_j: float | None
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


def device_energy(series: PowerSeries, window: Window) -> DeviceEnergy:
    """Joules of ``series`` in ``window``, by both methods, and which of them is used."""
    by_power, reading = integral(series, window), counter(series, window)
    trusted = reading.curve is not None and (series.modelled or reading.steps >= MIN_STEPS)
    counter_j = reading.curve.total_j if reading.curve else None
    integral_j = by_power.total_j if by_power else None
    difference = _disagreement(counter_j, integral_j)
    curve = reading.curve if trusted else by_power
    error_j = None
    if trusted:
        error_j = float(np.sqrt(2 / 12)) * reading.step_j  # each edge is uniform within one step
    elif by_power is not None:
        error_j = integral_error_j(_inside(series, window), window.seconds)
    if trusted and not series.modelled and counter_j and by_power is not None and by_power.total_j > 0:
        curve = by_power.scaled_to(counter_j)  # power has the finer clock, the counter the better total
    gap_s = longest_gap_s(series.t_ns, window) if series.t_ns.size else window.seconds
    reasons = []
    if gap_s > series.gap_bound_s or not covers(series.t_ns, window, series.gap_bound_s):
        reasons.append("power_gap")
    if trusted and not series.modelled and difference is not None and abs(difference) > DISAGREEMENT_BOUND:
        reasons.append("counter_disagrees")
    if curve is None and reading.fault:
        reasons.append(reading.fault)
    elif curve is None and not reasons:
        reasons.append("no_power" if reading.curve is None else "window_too_short")
    return DeviceEnergy(
        series=series,
        energy_j=curve.total_j if curve else None,
        method=None if curve is None else ("counter" if trusted else "integral"),
        counter_j=counter_j,
        integral_j=integral_j,
        disagreement=difference,
        error_j=error_j,
        samples=int(((series.t_ns >= window.start_ns) & (series.t_ns <= window.end_ns)).sum()),
        gap_s=gap_s,
        curve=curve,
        counter_fault=reading.fault,
        reasons=tuple(reasons),
    )


def boundary_energies(
    series: list[PowerSeries], window: Window, idle_before: Window | None, idle_after: Window | None
) -> list[BoundaryEnergy]:
    """One result for each (boundary, source), sorted; devices of the same pair are summed."""
    pairs = sorted({(one.boundary, one.source) for one in series})
    return [
        _summed(
            [one for one in series if (one.boundary, one.source) == pair], window, idle_before, idle_after
        )
        for pair in pairs
    ]


def rank(boundary: str, source: str) -> tuple[bool, int, str, str]:
    """Sorts what is shown where there is room for one: measured before modelled, GPU before wall before CPU."""
    order = ("gpu", "host", "cpu", "dram")
    place = order.index(boundary) if boundary in order else len(order)
    return source == "modelled", place, boundary, source


def primary(energies: list[BoundaryEnergy]) -> BoundaryEnergy | None:
    """The one that ``rank`` puts first."""
    return min(energies, key=lambda one: rank(one.boundary, one.source), default=None)


def integral_error_j(power_w: Floats, seconds: float) -> float | None:
    """The standard error, in joules, of mean power x time from k evenly spaced samples.

    sd x sqrt(tau / k) x seconds, where tau = 1 + 2 x (autocorrelations up to the first that is not positive)
    discounts samples that repeat their neighbours (Geyer 1992's initial sequence, cut at zero). It takes all
    variation of power for sampling noise, so it errs on the wide side. None below 8 samples.
    """
    if power_w.size < 8:
        return None
    centred = power_w - power_w.mean()
    size = 1 << (2 * power_w.size - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    products = np.fft.irfft(spectrum * np.conj(spectrum), size)[: power_w.size // 2]
    if products[0] <= 1e-12 * max(1.0, float(np.square(power_w).sum())):
        return 0.0
    correlation = products / products[0]
    stops = np.flatnonzero(correlation <= 0)
    positive = correlation[1 : stops[0] if stops.size else correlation.size]
    tau = 1 + 2 * float(positive.sum())
    return float(power_w.std(ddof=1) * np.sqrt(min(tau / power_w.size, 1.0)) * seconds)


def _summed(
    series: list[PowerSeries], window: Window, idle_before: Window | None, idle_after: Window | None
) -> BoundaryEnergy:
    devices = tuple(device_energy(one, window) for one in series)
    counter_j, integral_j = _total([d.counter_j for d in devices]), _total([d.integral_j for d in devices])
    error_j = _total([None if d.error_j is None else d.error_j**2 for d in devices])
    return BoundaryEnergy(
        boundary=series[0].boundary,
        source=series[0].source,
        devices=devices,
        energy_j=_total([d.energy_j for d in devices]),
        counter_j=counter_j,
        integral_j=integral_j,
        disagreement=_disagreement(counter_j, integral_j),
        error_j=None if error_j is None else float(np.sqrt(error_j)),
        idle_before_w=_mean_power(series, idle_before),
        idle_after_w=_mean_power(series, idle_after),
        reasons=tuple(sorted({reason for device in devices for reason in device.reasons})),
    )


def _mean_power(series: list[PowerSeries], stretch: Window | None) -> float | None:
    """Watts over a phase, all devices together; None where there is no phase or a device has no readings."""
    if stretch is None or stretch.end_ns <= stretch.start_ns:
        return None
    total_j = _total([device_energy(one, stretch).energy_j for one in series])
    return None if total_j is None else total_j / stretch.seconds


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _disagreement(counter_j: float | None, integral_j: float | None) -> float | None:
    if counter_j is None or integral_j is None:
        return None
    if counter_j == 0:
        return 0.0 if integral_j == 0 else None
    return (integral_j - counter_j) / counter_j


def _inside(series: PowerSeries, window: Window) -> Floats:
    mask = (series.power_t_ns >= window.start_ns) & (series.power_t_ns <= window.end_ns)
    return series.power_w[mask]
