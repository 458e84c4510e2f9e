"""Define what every meter offers: a list of devices, and one reading of each at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Boundary = Literal["gpu", "cpu", "dram", "host"]
Source = Literal["nvml", "amdsmi", "rapl", "modelled", "external"]


@dataclass(frozen=True)
class Device:
    """Something whose power is read. ``note`` says what a figure of it means, and what it lacks and why."""

    name: str
    boundary: Boundary
    source: Source
    note: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One device at one instant; what it does not offer, or was not asked this time, is None, never 0.

    ``t_ns`` is the middle of the reading, ``read_ns`` what it took; of a log's line, how late it came.
    ``energy_j`` counts from the meter's first reading, with wraps undone.
    """

    device: Device
    t_ns: int
    read_ns: int
    power_w: float | None = None
    power_avg_w: float | None = None
    energy_j: float | None = None
    temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    mem_clock_mhz: float | None = None
    utilization: float | None = None
    throttle: int | None = None
    power_limit_w: float | None = None

    @property
    def shown_w(self) -> float | None:
        """Give its power just then, or its average where it has no other."""
        return self.power_w if self.power_w is not None else self.power_avg_w


class Meter(Protocol):
    """Reads all devices of one kind."""

    @property
    def devices(self) -> list[Device]:
        """Return the devices that it reads, in the order of its readings."""

    def read(self, *, slow: bool) -> list[Reading]:
        """Readings of every device, each timed by itself.

        ``slow``: those too that are read at a gentler rate (a GPU's energy counter, temperature and clocks).

        Raises:
            MeterError: a device was lost or may no longer be read.
        """

    def close(self) -> None:
        """Give back what was opened."""
