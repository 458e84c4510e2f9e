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
    names = [*_KEY, *map(str, range(len(shown)))]
    keys = pa.table([*(power[name] for name in _KEY), *shown], names=names)
    numbered = keys.append_column("row", pa.array(np.arange(power.num_rows)))
    first = numbered.group_by(names).aggregate([("row", "min")])["row_min"]
    return power if len(first) == power.num_rows else power.take(np.sort(first.to_numpy()))
