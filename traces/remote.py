"""Another host's clock beside ours, and the streams that come from there byte by byte."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from traces.atomic import write_parquet
from traces.clock import boot_id
from traces.streams import read_trace


class ClockOffset(BaseModel):
    """Another host's CLOCK_MONOTONIC minus ours, by the exchange with the shortest round trip of several.

    The true offset lies within ``uncertainty_ns`` (half of that round trip) of ``offset_ns``, however unequal the two
    ways were: a reply can't have been written before its question was sent, nor after it was read.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    at_ns: int = Field(description="When, by our clock")
    offset_ns: int = Field(description="That clock minus ours")
    uncertainty_ns: int = Field(ge=0, description="Half of the shortest round trip")
    exchanges: int = Field(ge=1, description="How many were made")

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
    def shift_ns(self) -> int:
        """That clock minus ours: the middle of all that both measurements allow; 0 where it may be this very clock."""
        both = [self.start] if self.end is None else [self.start, self.end]
        lowest, highest = min(clock.lowest_ns for clock in both), max(clock.highest_ns for clock in both)
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
