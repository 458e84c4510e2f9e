"""Estimate the joules of a stretch of time from the power trace that was recorded through it, as studies do."""

from __future__ import annotations

from pathlib import Path

from analysis.cells.rows import Z95
from analysis.energy.boundary import BoundaryEnergy, boundary_energies, rank
from analysis.energy.integral import PowerSeries, read_series
from analysis.energy.mirrors import each_once, without_mirrors
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window
from analysis.validity.reasons import energy_checks
from configs.meters import Meters
from study.library.joules import BlockJoules, Joules
from traces.streams import has_trace, read_trace


def joules_in(folder: Path, start_ns: int, end_ns: int, settings: Meters) -> BlockJoules:
    """Read the power trace in ``folder`` and sum up what was used in a window; empty where nothing was recorded.

    Raises:
        TraceError: the trace cannot be read.
    """
    if not has_trace(folder, "power"):
        return BlockJoules((), ())
    series = without_mirrors(read_series(each_once(read_trace(folder, "power"))))
    window = Window(start_ns, end_ns)
    limits_w = {power.device: max(power.limits_w) for power in series if power.limits_w}
    sensors = Sensors({}, settings, limits_w)

    def summed(these: list[PowerSeries]) -> list[BoundaryEnergy]:
        energies = boundary_energies(these, window, None, None, sensors)
        return sorted(energies, key=lambda energy: rank(energy.boundary, energy.source))

    return BlockJoules(
        tuple(_joules(energy.boundary, energy) for energy in summed(series)),
        tuple(_joules(power.device, energy) for power in series for energy in summed([power])),
    )


def _joules(name: str, energy: BoundaryEnergy) -> Joules:
    energy_j, error_j = energy.energy_j, energy.error_j
    lo = hi = None
    if energy_j is not None and error_j:  # of 0 there is no interval, for no reading is that exact
        lo, hi = energy_j - Z95 * error_j, energy_j + Z95 * error_j
    reasons = {check.code for check in energy_checks(energy) if check.failed}
    return Joules(
        name, energy.boundary, energy.source, energy_j, lo, hi, energy.gain_half_width, tuple(sorted(reasons))
    )
