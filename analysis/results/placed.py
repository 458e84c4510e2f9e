"""What a Wh of each cell cost by an hourly series: the hours of its window, weighted by the joules in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.arrays import Floats, floats, ints
from analysis.keys import MeterKey
from analysis.opened import OpenedRun
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
        TraceError: a trace does not read.
    """
    series = {"cost": factors.price_series, "carbon": factors.carbon_series}
    meter = next(iter(run.meters), None)
    records = {key: record for key, record in run.records.items() if record.phases.window}
    by_cell = {
        quantity: {key: _per_wh(run, key, record, one, meter) for key, record in records.items()}
        for quantity, one in series.items()
        if one is not None
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
    """What is added to the monotonic times of a cell for seconds since 1970: its requests carry both clocks."""
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
    total, folder = np.zeros(at_ns.size), run.dir.cell(key)
    if meter is None or not has_trace(folder, "power"):
        return total
    power = on_our_clock(read_trace(folder, "power"), record.power_clock)
    assert power is not None  # noqa: S101 -- it was read
    for device in pc.unique(power.column("device")).to_pylist():
        own = pc.and_(
            pc.equal(power.column("device"), device), pc.equal(power.column("source"), meter.source)
        )
        rows = power.filter(pc.and_(own, pc.equal(power.column("boundary"), meter.boundary))).sort_by("t_ns")
        total += _of_device(rows, at_ns)
    return total


def _of_device(rows: pa.Table, at_ns: Floats) -> Floats:
    t_ns, _ = ints(rows, "t_ns")
    watts, counted = floats(rows, "power_w"), floats(rows, "energy_j")
    if np.isfinite(watts).sum() >= 2:
        known = np.isfinite(watts)
        seconds = (t_ns[known] - t_ns[known][0]) / 1e9
        risen = np.diff(seconds) * (watts[known][1:] + watts[known][:-1]) / 2
        joules = np.concatenate([[0.0], np.cumsum(risen)])
    else:
        known = np.isfinite(counted)
        joules = counted[known]
    if joules.size < 2:
        return np.zeros(at_ns.size)
    return np.asarray(np.interp(at_ns, t_ns[known].astype(np.float64), joules), dtype=np.float64)
