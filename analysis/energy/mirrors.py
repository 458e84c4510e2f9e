"""Packages that a run recorded once for each of their dies: the same counter, whose joules are one package's."""

from __future__ import annotations

import numpy as np

from analysis.energy.integral import PowerSeries

_LEAST_READINGS = 20
_LEAST_J = 1.0  # counters that have hardly moved show nothing
_APART_S = 0.005  # two looks at one counter lie this close; times the highest power, what they differ by


def without_mirrors(series: list[PowerSeries]) -> list[PowerSeries]:
    """Keep one of each package's dies where their counters moved alike all the time, and all other series.

    The meter finds such zones when it opens them; here are those that did not tell then.
    """
    kept: list[PowerSeries] = []
    for device in series:
        if not any(_mirrors(device, other) for other in kept):
            kept.append(device)
    return kept


def _mirrors(device: PowerSeries, other: PowerSeries) -> bool:
    """Tell whether both are dies of one package, by the kernel's names, and show one counter.

    Dies with counters of their own differ by far more than two looks at one counter do.
    """
    of, is_die, _ = device.device.partition("-die-")
    other_of, other_is_die, _ = other.device.partition("-die-")
    if not (device.source == other.source == "rapl" and is_die and other_is_die and of == other_of):
        return False
    if device.boundary != other.boundary or min(device.energy_j.size, other.energy_j.size) < _LEAST_READINGS:
        return False
    shown_j = np.interp(device.energy_t_ns, other.energy_t_ns, other.energy_j)
    apart_j = (device.energy_j - device.energy_j[0]) - (shown_j - shown_j[0])
    highest_w = float(device.power_w.max()) if device.power_w.size else 0.0
    moved_j = float(np.ptp(device.energy_j))
    return moved_j > _LEAST_J and bool((np.abs(apart_j) <= highest_w * _APART_S).all())
