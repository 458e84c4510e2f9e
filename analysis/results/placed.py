"""What a Wh of each cell cost by an hourly series: the hours of its window, weighted by the joules in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.arrays import Floats
from analysis.energy.boundary import boundary_energies
from analysis.energy.integral import read_series
from analysis.keys import MeterKey
from analysis.opened import OpenedRun
from analysis.requests.window import Window
from analysis.results.costs import Factors
from analysis.results.hourly import Hourly
from analysis.validity.clocks import on_our_clock
from starwatt_errors import TraceError, UsageError
from traces.cell import CellRecord
from traces.layout import CellKey
from traces.streams import has_trace, read_trace


def placed(run: OpenedRun, factors: Factors) -> Factors:
    """Lay the series of ``factors``, if it has any, over the windows of the run's cells.

    Raises:
        UsageError: a series has no value for a part of a cell's window.
        TraceError: a trace cannot be read.
    """
    series = {"cost": factors.price_series, "carbon": factors.carbon_series}
    meter = next(iter(run.meters), None)
    records = {key: record for key, record in run.records.items() if record.phases.window}
    by_cell = {
        quantity: {key: _per_wh(run, key, record, hourly, meter) for key, record in records.items()}
        for quantity, hourly in series.items()
        if hourly is not None
    }
    return replace(factors, by_cell=by_cell)


def _per_wh(
    run: OpenedRun, key: CellKey, record: CellRecord, series: Hourly, meter: MeterKey | None
) -> float:
    window = record.phases.window
    assert window is not None  # noqa: S101 -- the caller has looked
    behind_s = _behind_calendar_s(run, key)
    try:
        edges_s, values = series.pieces(window.start_ns / 1e9 + behind_s, window.end_ns / 1e9 + behind_s)
    except UsageError as error:
        raise UsageError(f"{error} ({key})") from error
    if values.size == 1:
        return float(values[0])
    joules = np.diff(_joules_at(run, key, record, np.round((edges_s - behind_s) * 1e9), meter))
    weights = joules if joules.sum() > 0 else np.diff(edges_s)
    return float((values * weights).sum() / weights.sum())


def _behind_calendar_s(run: OpenedRun, key: CellKey) -> float:
    """Return what is added to the monotonic times of a cell for seconds since 1970: its requests carry both clocks."""
    path = run.dir.cell(key) / "requests.parquet"
    try:
        said = pq.read_schema(path).metadata or {}
        return (int(said[b"realtime_ns"]) - int(said[b"monotonic_ns"])) / 1e9
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise TraceError(
            f"{path}: does not say when it was written, so that no hour of a series is its own"
        ) from error


def _joules_at(
    run: OpenedRun, key: CellKey, record: CellRecord, at_ns: Floats, meter: MeterKey | None
) -> Floats:
    """Joules up to each instant, all devices of the meter together; zeros where nothing was metered."""
    nothing, folder = np.zeros(at_ns.size), run.dir.cell(key)
    if meter is None or not has_trace(folder, "power"):
        return nothing
    power = on_our_clock(read_trace(folder, "power"), record.power_clock)
    assert power is not None  # noqa: S101 -- it was read
    metered = [
        series
        for series in read_series(power)
        if (series.boundary, series.source) == (meter.boundary, meter.source)
    ]
    if not metered:
        return nothing
    window = Window(int(at_ns[0]), int(at_ns[-1]))
    [energy] = boundary_energies(metered, window, None, None)
    at_s = (at_ns - at_ns[0]) / 1e9
    return sum((curve.at(at_s) for curve in energy.curves), start=nothing)
