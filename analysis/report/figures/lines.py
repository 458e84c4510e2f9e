"""What a cell's power figure shows below the power: requests in flight, and the clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays import Floats, Ints
from starwatt_errors import TraceError
from traces.layout import CellKey, RunDir
from traces.pieces import open_trace

MOST_POINTS = 1200


@dataclass(frozen=True)
class TimeLine:
    """Values over time."""

    t_ns: Ints  # (k,)
    values: Floats  # (k,)


def in_flight_over_time(run: RunDir, key: CellKey) -> TimeLine | None:
    """Return how many requests had been sent and had not ended, at every change; None where it cannot be read.

    Of long runs evenly spaced samples of it, so that a page stays small.
    """
    try:
        requests = open_trace(run.cell(key), "requests").read(["sent_ns", "end_ns"])
    except TraceError:  # the validity table names it
        return None
    sent, ended = (requests[name].drop_null().to_numpy().astype(np.int64) for name in ("sent_ns", "end_ns"))
    if not sent.size:
        return None
    times = np.unique(np.concatenate((sent, ended)))
    if times.size > MOST_POINTS:
        times = np.linspace(times[0], times[-1], MOST_POINTS).astype(np.int64)
    counts = np.searchsorted(np.sort(sent), times, side="right") - np.searchsorted(
        np.sort(ended), times, side="right"
    )
    return TimeLine(times, counts.astype(np.float64))


def sm_clock_over_time(power: pa.Table) -> TimeLine | None:
    """Return the SM clock of the first device that tells it, MHz."""
    known = power.filter(pa.compute.is_valid(power["sm_clock_mhz"]))
    if not known.num_rows:
        return None
    readings = known.filter(pa.compute.equal(known["device"], known["device"][0]))
    stride = max(1, -(-readings.num_rows // MOST_POINTS))
    return TimeLine(
        readings["t_ns"].to_numpy().astype(np.int64)[::stride],
        readings["sm_clock_mhz"].to_numpy().astype(np.float64)[::stride],
    )
