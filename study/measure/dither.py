"""Say how far a load is dithered: over whole periods of a power sensor that does not see everything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from configs.loads import Load, Open
from starwatt_errors import TraceError
from study.records.this_node import this_node
from traces.atomic import read_json
from traces.layout import RunDir

_LEAST_S = 0.1
"""A faster sensor is polled at 20 Hz, and then sees what its polls see."""
_ASSUMED_UPDATE_S = 0.1
_ALL = 0.95  # of its period: a sensor that looks at so much sees everything
_MOST_APART = 1.9
"""Requests due within a dither: from here on they wait for each other at the server, and keep a rhythm for all that."""


def dither_s(run: RunDir, load: Load) -> float:
    """Return the seconds over which a load is dithered, by what calibration found of the run's sensors."""
    if isinstance(load, Open):
        if load.arrivals != "constant" or load.qps is None:
            return 0.0
        if load.dither_ms != "auto":
            return load.dither_ms * 1e-3
    width_s = max(map(width_of, _calibrations(run)), default=0.0)
    if isinstance(load, Open) and load.qps is not None and load.qps * width_s > _MOST_APART:
        return 0.0
    return width_s


def width_of(calibration: Mapping[str, Any]) -> float:
    """Return whole periods of one board's sensor, in seconds, 0.1 at least; 0 for a sensor that sees everything."""
    channel = calibration.get("power_w") or calibration.get("power_avg_w")
    if not isinstance(channel, Mapping):
        return 0.0
    update_s, window_s = channel.get("update_s"), channel.get("window_s")
    if update_s and window_s and window_s >= _ALL * update_s:
        return 0.0
    period_s = float(update_s or _ASSUMED_UPDATE_S)
    return period_s * math.ceil(_LEAST_S / period_s - 1e-3)


def _calibrations(run: RunDir) -> Iterator[Mapping[str, Any]]:
    """Yield the calibration of each board of this machine, by the run's manifest, or by what this node has told."""
    for path in (run.manifest, *run.nodes.glob(f"{this_node().name}-*.json")):
        try:
            calibration = read_json(path).get("sensor_calibration")
        except (TraceError, AttributeError):
            continue
        devices = calibration.get("devices") if isinstance(calibration, Mapping) else None
        yield from (device for device in (devices or {}).values() if isinstance(device, Mapping))
