"""Another host's clock beside ours, and the streams that come from there byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from traces.atomic import write_parquet
from traces.clock import boot_id, now_ns
from traces.streams import read_trace


class Told(NamedTuple):
    """Hold what another host told of its clock: when it had our question and sent its answer, and when we had that."""

    received_ns: int
    sent_ns: int
    had_ns: int


class ClockOffset(BaseModel):
    """Another host's CLOCK_MONOTONIC minus ours, by the exchange with the shortest round trip of several.

    The true offset lies within ``uncertainty_ns`` (half of that round trip) of ``offset_ns``, however unequal the two
    ways were: a reply can't have been written before its question was sent, nor after it was read. With t0, t3 our
    times of asking and of having the answer, and t1, t2 its times of question and answer, the offset is
    ((t1 - t0) + (t2 - t3)) / 2 and the round trip (t3 - t0) - (t2 - t1) (RFC 5905).
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    at_ns: int = Field(description="When, by our clock")
    offset_ns: int = Field(description="That clock minus ours")
    uncertainty_ns: int = Field(ge=0, description="Half of the shortest round trip")
    exchanges: int = Field(ge=1, description="How many were made")

    @classmethod
    def measured(cls, ask: Callable[[], Told], exchanges: int) -> ClockOffset:
        """Ask so many times, and keep the exchange with the shortest round trip."""
        found = (cls._of(now_ns(), ask(), exchanges) for _ in range(exchanges))
        return min(found, key=lambda one: one.uncertainty_ns)

    @classmethod
    def _of(cls, asked_ns: int, told: Told, exchanges: int) -> ClockOffset:
        round_trip_ns = max((told.had_ns - asked_ns) - (told.sent_ns - told.received_ns), 0)
        return cls(
            at_ns=(asked_ns + told.had_ns) // 2,
            offset_ns=((told.received_ns - asked_ns) + (told.sent_ns - told.had_ns)) // 2,
            uncertainty_ns=round_trip_ns // 2 + 1,
            exchanges=exchanges,
        )

    @property
    def lowest_ns(self) -> int:
        """The smallest offset that is possible."""
        return self.offset_ns - self.uncertainty_ns

    @property
    def highest_ns(self) -> int:
        """The largest offset that is possible."""
        return self.offset_ns + self.uncertainty_ns


class PowerClock(BaseModel):
    """The clock of ``power`` and ``occupancy`` where another host recorded them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    boot_id: str = Field(description="Of the host that recorded power")
    start: ClockOffset
    end: ClockOffset | None = Field(
        default=None, description="Measured again at the end; null: it did not answer"
    )

    @property
    def bounds_ns(self) -> tuple[int, int]:
        """Compute the smallest and the largest offset that start or end allow."""
        both = [self.start] if self.end is None else [self.start, self.end]
        return min(one.lowest_ns for one in both), max(one.highest_ns for one in both)

    @property
    def shift_ns(self) -> int:
        """That clock minus ours: the middle of all that both measurements allow; 0 where it may be this very clock."""
        lowest, highest = self.bounds_ns
        ours = self.boot_id == boot_id() and lowest <= 0 <= highest
        return 0 if ours else (lowest + highest) // 2


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
