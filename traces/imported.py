"""What a cell that others measured says of itself: which tool, from which files, and how well the clocks are known."""

from __future__ import annotations

from pydantic import Field

from traces.record import Record


class ImportedFile(Record):
    """A file that the cell was made from; it is not in the run."""

    name: str = Field(description="Without its folder")
    sha256: str = Field(description="Of its bytes")


class ImportedLog(Record):
    """A power log that the cell was made from, as one device."""

    file: ImportedFile = Field(description="The log")
    form: str = Field(description="csv, nvidia-smi, ptdaemon and so on")
    device: str = Field(description="What the tables call it")
    source: str = Field(description="nvml: a board's own sensor; external: another meter")
    averages_s: float | None = Field(
        default=None, description="Seconds that a reading averages over; null: since the line before"
    )
    clock_offset_s: float = Field(
        description="The log's clock minus that of the requests; power is shifted by it already"
    )
    clock_uncertainty_s: float = Field(
        ge=0, description="Half-width of what is not known of that, and of when the requests were"
    )


class Imported(Record):
    """The origin of an imported cell; its times are nanoseconds since 1970."""

    tool: str = Field(description="What made the requests, as far as its file says")
    version: str | None = Field(default=None, description="Of that tool; null: its file does not say")
    requests: ImportedFile = Field(description="The file of the load")
    logs: list[ImportedLog] = Field(default=[], description="Empty: no power beside the requests")
    clock: str = Field(description="How the requests were placed on the calendar")
    unknown: list[str] = Field(
        default=[], description="Reason codes of what a run that starwatt measured knows, and this does not"
    )

    @property
    def clock_uncertainty_s(self) -> float | None:
        """Return the largest of its logs; None without one."""
        return max((log.clock_uncertainty_s for log in self.logs), default=None)
