"""What a search for the highest rate found, and every window that it was found by."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from traces.record import Record


class RateWindow(Record):
    """One window of a search, and what it says of its rate."""

    rate: float | None = Field(default=None, description="Requests a second; null: one request at a time")
    says: Literal["holds", "fails", "nothing"]
    why: str | None = Field(default=None, description="Why it says nothing, or fails by its backlog")
    share: float | None = Field(description="Good requests of those that were offered")
    lo: float = Field(description="Interval (95 %) of that share")
    hi: float
    requests: int = Field(description="Measured requests")
    length: float = Field(default=1.0, description="In whole windows of the search")
    confirms: bool = Field(default=False, description="Whether it was to confirm the rate of the answer")
    folder: str = Field(description="Where its traces lie, from the cell's folder; '.': they are the cell's")
    sha256: str = Field(description="Digest of its requests.parquet")


class RateFound(Record):
    """The highest rate at which enough requests were good, as far as the windows tell it."""

    slo_ms: dict[str, float] = Field(description="Bounds of a good request, by ttft, tpot and e2e")
    wanted_share: float = Field(description="A rate holds where so many of the offered requests are good")
    max_in_flight: int | None = Field(default=None, description="The cap of the load; null: none")
    kind: Literal["found", "at_least", "none", "unknown"] = Field(
        description="at_least: no rate failed; none: no rate holds; unknown: neither was seen in time"
    )
    rate: float | None = Field(description="The highest rate that held, requests a second")
    lo: float | None = Field(
        description="From where its interval reaches: the bracket, and chance in arrivals"
    )
    hi: float | None = Field(description="Up to where; null: no rate failed")
    fails: float | None = Field(description="The lowest rate that failed; null: none did")
    confirmed: bool = Field(
        description="Whether the cell's own window held it, or had enough good requests where one as long held it"
    )
    windows: list[RateWindow] = Field(description="In their order; the first is of one request at a time")
    took_s: float = Field(description="From the first window to the end of the last")
