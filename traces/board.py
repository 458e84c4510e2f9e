"""What a cell's boards were set to: what was asked, what each showed, and what its driver allows."""

from __future__ import annotations

from pydantic import Field

from traces.record import Record


class BoardShown(Record):
    """One board, when the cell began; null is what it does not say, or was not asked."""

    found_w: float | None = Field(default=None, description="Its power limit before the study")
    least_w: float | None = Field(default=None, description="The lowest limit that its driver allows")
    most_w: float | None = Field(default=None, description="The highest limit that its driver allows")
    managed_w: float | None = Field(default=None, description="The limit that its driver holds")
    power_limit_w: float | None = Field(
        default=None, description="The limit that it shows and enforces: the lowest of all, a BMC's too"
    )
    locked_mhz: int | None = Field(
        default=None,
        description="The clock that it was locked at: the nearest one it offers; null: not locked",
    )
    sm_clock_mhz: float | None = Field(default=None, description="The clock that it showed then")


class BoardHeld(Record):
    """The setting of a cell's boards, held until the cell had ended."""

    setting: str = Field(description="Its name, as in the load's, such as 250w or as-found")
    power_limit_w: float | None = Field(default=None, description="Asked for; null: as the boards were found")
    sm_clock_mhz: int | None = Field(default=None, description="Asked for; null: not locked")
    waited_s: float = Field(description="Until every board showed it, and had settled")
    boards: dict[str, BoardShown] = Field(description="By UUID")
