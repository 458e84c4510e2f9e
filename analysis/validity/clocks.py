"""Power that another host recorded, put on the clock of the requests; and whether that clock was known well enough."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from analysis.energy.sensor import CLOCK_BOUND
from analysis.requests.window import Window
from analysis.validity.reasons import Check
from traces.remote import PowerClock


@dataclass(frozen=True)
class Shift:
    """The other clock minus ours: the middle of all that start and end allow."""

    offset_ns: int
    half_width_ns: int
    checked: bool  # measured at the end too
    drifted: bool  # start and end exclude each other: the clocks ran apart


def shift_of(clock: PowerClock) -> Shift:
    """One constant shift, so that no stretch of time changes its length; drift widens its uncertainty."""
    lowest, highest = clock.bounds_ns
    end = clock.end or clock.start
    apart = end.lowest_ns > clock.start.highest_ns or clock.start.lowest_ns > end.highest_ns
    return Shift((lowest + highest) // 2, -((lowest - highest) // 2), clock.end is not None, apart)


def on_our_clock(table: pa.Table | None, clock: PowerClock | None) -> pa.Table | None:
    """``table`` with ``t_ns`` by the clock of the requests; as it is where that is its own."""
    if table is None or clock is None:
        return table
    index = table.schema.get_field_index("t_ns")
    shifted = pc.subtract(table.column(index), pa.scalar(shift_of(clock).offset_ns, pa.int64()))
    return table.set_column(index, table.schema.field(index), shifted)


def clock_check(shift: Shift, window: Window) -> Check:
    """``clock_uncertain``: not measured again at the end, or uncertain by more than ``CLOCK_BOUND`` of the window."""
    if not shift.checked:
        return Check("clock_uncertain", True, None, "share of window", hi=CLOCK_BOUND)
    share = shift.half_width_ns * 1e-9 / window.seconds
    failed = share > CLOCK_BOUND
    noted = shift.drifted and not failed
    return Check("clock_uncertain", failed, share, "share of window", hi=CLOCK_BOUND, noted=noted)
