"""Take once what a run recorded twice: readings of one instant, and a package's counter, shown by each of its dies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from analysis.energy.integral import PowerSeries

_LEAST_READINGS = 20
_LEAST_J = 1.0  # counters that have hardly moved show nothing
_APART_S = 0.005  # two looks at one counter lie this close; times the highest power, what they differ by
_KEY = ("device", "boundary", "source", "t_ns")


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


def each_once(power: pa.Table) -> pa.Table:
    """Return ``power`` without later readings of an instant that has one: a copied row, or a log that rounds its times.

    No power can be told from two readings without time between them. Readings of other columns (a counter beside
    power) are other readings.
    """
    shown = [power[name].is_valid() for name in ("power_w", "power_avg_w", "energy_j")]
    if _no_instant_twice(power, shown):
        return power
    names = [*_KEY, *map(str, range(len(shown)))]
    keys = pa.table([*(power[name] for name in _KEY), *shown], names=names)
    numbered = keys.append_column("row", pa.array(np.arange(power.num_rows)))
    first = numbered.group_by(names).aggregate([("row", "min")])["row_min"]
    return power if len(first) == power.num_rows else power.take(np.sort(first.to_numpy()))


def _no_instant_twice(power: pa.Table, shown: list[pa.ChunkedArray]) -> bool:
    """Say whether no device has two readings of an instant; quick, as nearly all traces are so."""
    kind = np.zeros(power.num_rows, dtype=np.int64)
    for name in _KEY[:-1]:
        codes = power[name].combine_chunks().dictionary_encode()
        kind = kind * (len(codes.dictionary) + 1) + codes.indices.fill_null(len(codes.dictionary)).to_numpy()
    for has in shown:
        kind = kind * 2 + has.to_numpy()
    t_ns = power["t_ns"].fill_null(-1).to_numpy()
    order = np.lexsort((t_ns, kind))
    return not bool(np.any((np.diff(t_ns[order]) == 0) & (np.diff(kind[order]) == 0)))
