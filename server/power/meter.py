"""Define what every meter offers: a list of devices, and one reading of each at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
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


class ReadBoard(Protocol):
    """Reads one board of a meter that has several."""

    device: Device

    @property
    def name(self) -> str:
        """Name it for people."""

    def read(self) -> Reading:
        """Read its power."""

    def read_slow(self) -> Reading:
        """Read what is read less often, its energy counter at a time of its own."""


@dataclass
class BoardsMeter:
    """Reads boards one after the other through a library that is open as long as the meter is."""

    _boards: Sequence[ReadBoard]
    _library: ExitStack
    left_out: tuple[str, ...]
    """In words, the boards that are not read."""

    @property
    def devices(self) -> list[Device]:
        """Return every board that is read, named by its UUID."""
        return [board.device for board in self._boards]

    @property
    def named(self) -> list[str]:
        """Name them for people."""
        return [board.name for board in self._boards]

    def read(self, *, slow: bool) -> list[Reading]:
        """Take a reading of every board; with ``slow`` another of each, with its counter at its own time.

        Raises:
            MeterError: a board was lost, may not be read any more, or has shown no power for some seconds.
        """
        readings = [board.read() for board in self._boards]
        if slow:
            readings += [board.read_slow() for board in self._boards]
        return readings

    def close(self) -> None:
        """Shut the library down."""
        self._library.close()


class Meter(Protocol):
    """Reads all devices of one kind."""

    @property
    def devices(self) -> list[Device]:
        """Return the devices that it reads, in the order of its readings."""

    def read(self, *, slow: bool) -> list[Reading]:
        """Return readings of every device, each timed by itself.

        ``slow``: those too that are read at a gentler rate (a GPU's energy counter, temperature and clocks).

        Raises:
            MeterError: a device was lost or may no longer be read.
        """

    def close(self) -> None:
        """Give back what was opened."""
