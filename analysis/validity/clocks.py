"""Power that another host recorded, put on the clock of the requests; and whether that clock was known well enough."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from analysis.energy.sensor import CLOCK_BOUND
from analysis.requests.window import Window
from analysis.validity.reasons import Check
from traces.parquet import with_column
from traces.remote import PowerClock


def on_our_clock(table: pa.Table | None, clock: PowerClock | None) -> pa.Table | None:
    """Return ``table`` with ``t_ns`` by the clock of the requests; as it is where that is its own."""
    if table is None or clock is None:
        return table
    shifted = pc.subtract(table.column("t_ns"), pa.scalar(clock.middle_ns, pa.int64()))
    return with_column(table, "t_ns", shifted)


def clock_check(clock: PowerClock, window: Window) -> Check:
    """Check ``clock_uncertain``: not measured at the end, or uncertain by more than ``CLOCK_BOUND`` of the window."""
    if clock.end is None:
        return Check("clock_uncertain", True, None, "share of window", hi=CLOCK_BOUND)
    share = clock.half_width_ns * 1e-9 / window.seconds
    failed = share > CLOCK_BOUND
    noted = clock.drifted and not failed
    return Check("clock_uncertain", failed, share, "share of window", hi=CLOCK_BOUND, noted=noted)
