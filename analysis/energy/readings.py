"""Power as analysis takes it: at one instant a device has one reading."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

_KEY = ("device", "boundary", "source", "t_ns")


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
