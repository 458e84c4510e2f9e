"""What others recorded: power of another host put on the clock of the requests, and what is known of imported cells."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from analysis.energy.sensor import CLOCK_BOUND
from analysis.requests.columns import Requests
from analysis.requests.window import Window
from analysis.validity.reasons import Check
from traces.imported import Imported
from traces.parquet import with_column
from traces.remote import PowerClock

CUT_OFF_BOUND = 0.02
"""Of the requests: each that was cut off took at most a request's joules, so J/request is at most so much too high."""


def imported_checks(imported: Imported | None, requests: Requests, window: Window) -> Iterator[Check]:
    """Note what is not known, and ``cut_off`` where it matters; nothing of a cell that starwatt measured."""
    if imported is None:
        return
    apart_s = imported.clock_uncertainty_s
    share = None if apart_s is None else apart_s / window.seconds
    yield Check("imported", False, share, "share of window", hi=CLOCK_BOUND, noted=True)
    for code in imported.unknown:
        yield Check(code, False, None, "", noted=True)
    untold = requests.aborted & ~(requests.output_tokens > 0)
    cut, whole = float(untold.sum()), float(requests.completed.sum())
    share = cut / (cut + whole)
    yield Check("cut_off", share > CUT_OFF_BOUND, share, "share of requests", hi=CUT_OFF_BOUND, noted=cut > 0)


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
