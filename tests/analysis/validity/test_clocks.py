"""Two clocks: what is shifted, by how much, and when it is not known well enough."""

from __future__ import annotations

import pyarrow as pa
import pytest

from analysis.energy.sensor import CLOCK_BOUND
from analysis.requests.window import Window
from analysis.validity.clocks import clock_check, on_our_clock
from tests.support.builders import MS, SECOND
from traces.remote import ClockOffset, PowerClock
from traces.schemas import POWER


def offset(offset_ms: int, uncertainty_ms: int) -> ClockOffset:
    """At time 0, by one exchange."""
    return ClockOffset(at_ns=0, offset_ns=offset_ms * MS, uncertainty_ns=uncertainty_ms * MS, exchanges=1)


def clock(start: ClockOffset, end: ClockOffset | None) -> PowerClock:
    """Of some other host."""
    return PowerClock(boot_id="other", start=start, end=end)


def test_power_of_a_clock_that_is_ahead_moves_back_and_intervals_stay() -> None:
    rows = [{"t_ns": 5 * SECOND}, {"t_ns": 6 * SECOND}, {"t_ns": None}]
    table = pa.Table.from_pylist(rows, schema=POWER)
    moved = on_our_clock(table, clock(offset(4000, 1), offset(4000, 1)))
    assert moved is not None
    assert moved.column("t_ns").to_pylist() == [SECOND, 2 * SECOND, None]
    assert moved.schema == table.schema
    assert on_our_clock(table, None) is table


def test_the_shift_is_the_middle_of_all_that_start_and_end_allow() -> None:
    shift = clock(offset(100, 2), offset(103, 2))
    assert (shift.middle_ns, shift.half_width_ns) == (int(101.5 * MS), int(3.5 * MS))
    assert not shift.drifted
    assert clock(offset(100, 2), offset(105, 2)).drifted


@pytest.mark.parametrize(
    ("end", "window_s", "failed", "noted"),
    [
        (offset(100, 1), 10, False, False),
        (offset(110, 1), 10, False, True),  # ran apart by 10 ms: a note, since it is 0.06 % of 10 s
        (offset(110, 1), 1, True, False),
        (offset(100, 60), 10, True, False),  # a slow network
        (None, 1000, True, False),  # never checked
    ],
)
def test_a_clock_is_uncertain_where_it_matters_to_the_window(
    end: ClockOffset | None, window_s: int, failed: bool, noted: bool
) -> None:
    check = clock_check(clock(offset(100, 1), end), Window(0, window_s * SECOND))
    assert (check.code, check.failed, check.noted, check.hi) == (
        "clock_uncertain",
        failed,
        noted,
        CLOCK_BOUND,
    )
