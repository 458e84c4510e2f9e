"""Another host's clock beside ours, and the streams that come from there byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from traces.atomic import write_parquet
from traces.clock import boot_id, now_ns
from traces.record import Record
from traces.streams import read_trace


class Told(NamedTuple):
    """Hold what another host told of its clock: when it had our question and sent its answer, and when we had that."""

    boot_id: str
    received_ns: int
    sent_ns: int
    had_ns: int


class ClockOffset(Record):
    """Another host's CLOCK_MONOTONIC minus ours, by the exchange with the shortest round trip of several.

    The true offset lies within ``uncertainty_ns`` (half of that round trip) of ``offset_ns``, however unequal the two
    ways were: a reply can't have been written before its question was sent, nor after it was read. With t0, t3 our
    times of asking and of having the answer, and t1, t2 its times of question and answer, the offset is
    ((t1 - t0) + (t2 - t3)) / 2 and the round trip (t3 - t0) - (t2 - t1) (RFC 5905).
    """

    at_ns: int = Field(description="When, by our clock")
    offset_ns: int = Field(description="That clock minus ours")
    uncertainty_ns: int = Field(ge=0, description="Half of the shortest round trip")
    exchanges: int = Field(ge=1, description="How many were made")

    @classmethod
    def of(cls, asked_ns: int, told: Told, exchanges: int) -> ClockOffset:
        """Compute it from one of so many exchanges."""
        round_trip_ns = max((told.had_ns - asked_ns) - (told.sent_ns - told.received_ns), 0)
        return cls(
            at_ns=(asked_ns + told.had_ns) // 2,
            offset_ns=((told.received_ns - asked_ns) + (told.sent_ns - told.had_ns)) // 2,
            uncertainty_ns=round_trip_ns // 2 + 1,
            exchanges=exchanges,
        )

    @property
    def lowest_ns(self) -> int:
        """Return the smallest offset that is possible."""
        return self.offset_ns - self.uncertainty_ns

    @property
    def highest_ns(self) -> int:
        """Return the largest offset that is possible."""
        return self.offset_ns + self.uncertainty_ns


class PowerClock(Record):
    """Another host's clock, by which ``power`` and ``occupancy``, or a worker's requests, were recorded."""

    boot_id: str = Field(description="Of the host that recorded power")
    start: ClockOffset
    end: ClockOffset | None = Field(
        default=None, description="Measured again at the end; null: it did not answer"
    )

    @classmethod
    def measured(cls, ask: Callable[[], Told], exchanges: int) -> PowerClock:
        """Ask so many times, and keep the exchange with the shortest round trip; ``end`` is not known yet."""
        asked = [(now_ns(), ask()) for _ in range(exchanges)]
        offsets = [ClockOffset.of(asked_ns, told, exchanges) for asked_ns, told in asked]
        start = min(offsets, key=lambda offset: offset.uncertainty_ns)
        return cls(boot_id=asked[-1][1].boot_id, start=start)

    @property
    def bounds_ns(self) -> tuple[int, int]:
        """Compute the smallest and the largest offset that start or end allow."""
        both = [self.start] if self.end is None else [self.start, self.end]
        return min(offset.lowest_ns for offset in both), max(offset.highest_ns for offset in both)

    @property
    def middle_ns(self) -> int:
        """Return that clock minus ours: one constant, so that no stretch of time changes its length."""
        return sum(self.bounds_ns) // 2

    @property
    def half_width_ns(self) -> int:
        """Say how far the truth may be from ``middle_ns``: drift between start and end widens it."""
        lowest, highest = self.bounds_ns
        return -((lowest - highest) // 2)

    @property
    def drifted(self) -> bool:
        """Say whether start and end exclude each other: the clocks ran apart."""
        end = self.end or self.start
        return end.lowest_ns > self.start.highest_ns or self.start.lowest_ns > end.highest_ns

    @property
    def shift_ns(self) -> int:
        """Return ``middle_ns``; 0 where it may be the very clock of the machine that asks."""
        lowest, highest = self.bounds_ns
        return 0 if self.boot_id == boot_id() and lowest <= 0 <= highest else self.middle_ns


def complete_stream(folder: Path, name: str) -> bool:
    """Turn ``<name>.arrows``, fetched whole or in part, into Parquet; False where nothing of it came.

    Raises:
        TraceError: it cannot be read; it stays where it is.
    """
    stream = folder / f"{name}.arrows"
    if not stream.is_file():
        return False
    if stream.stat().st_size == 0:
        stream.unlink()
        return False
    table = read_trace(folder, name)
    write_parquet(folder / f"{name}.parquet", table)
    stream.unlink()
    return True
