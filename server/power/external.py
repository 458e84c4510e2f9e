"""A wall meter's or a BMC's log, read while another program writes it: CSV with a header and a clock of its own.

Each line becomes a reading at the line's own time, put on this machine's clock by the calendar and the offset that
the study states; how well that offset is known stands in the study's file and is part of the energy's uncertainty.
"""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from configs.meters import ExternalLog
from server.power.meter import Device, Reading
from starwatt_errors import MeterError
from traces.clock import ClockPair

_JOULES = {"J": 1.0, "Wh": 3600.0, "kWh": 3.6e6}
_KEPT_S = 10.0  # lines that are older when the log is opened are of no interest
_FAR_S = 3600.0  # a line this far from now has another clock or another unit
_TAIL_BYTES = 1 << 16
_EPOCH_DIGITS = "0123456789.+-eE"


@dataclass(frozen=True)
class Line:
    """One line of the log."""

    at_s: float  # seconds since 1970, by the log's clock
    power_w: float | None
    energy_j: float | None


class LogFormat:
    """Which column of a log is what.

    Raises:
        MeterError: the header lacks a column that the study names.
    """

    def __init__(self, log: ExternalLog, header: str) -> None:
        if not header.endswith("\n"):
            raise MeterError(f"{log.file}: has no header yet; start what writes it first")
        self._log = log
        try:
            names = [name.strip() for name in next(csv.reader([header]))]
        except csv.Error as error:
            raise MeterError(f"{log.file}: its header is no CSV: {error}") from error
        self._columns = len(names)
        wanted = (log.time_column, log.power_column, log.energy_column)
        missing = [name for name in wanted if name is not None and name not in names]
        if missing:
            raise MeterError(
                f"{log.file}: has no column {', '.join(missing)}; its header is {header.strip()!r}: name them under "
                "meters.external (time_column, power_column, energy_column)"
            )
        self._time, self._power, self._energy = (
            None if name is None else names.index(name) for name in wanted
        )

    def line(self, text: str, number: int) -> Line:
        """One line's figures.

        Raises:
            MeterError: it has other columns than the header, or a figure that is none.
        """
        try:
            fields = next(csv.reader([text]), [])
        except csv.Error as error:
            raise self._wrong(number, text, f"is no CSV ({error})") from error
        if len(fields) != self._columns:
            raise self._wrong(number, text, f"has {len(fields)} columns where the header has {self._columns}")
        at = "" if self._time is None else fields[self._time].strip()
        try:
            at_s = float(at) if at and all(mark in _EPOCH_DIGITS for mark in at) else _calendar(at)
        except ValueError as error:
            raise self._wrong(number, text, f"its time is not understood ({error})") from None
        power_w, joules = (
            self._figure(fields, column, number, text) for column in (self._power, self._energy)
        )
        return Line(at_s, power_w, None if joules is None else joules * _JOULES[self._log.energy_unit])

    def _figure(self, fields: list[str], column: int | None, number: int, text: str) -> float | None:
        """None where the log has no such column, or leaves it empty in this line."""
        if column is None or not fields[column].strip():
            return None
        try:
            value = float(fields[column])
        except ValueError:
            raise self._wrong(number, text, f"{fields[column]!r} is no number") from None
        if not math.isfinite(value) or value < 0:
            raise self._wrong(number, text, f"{fields[column]!r} can be neither watts nor joules")
        return value

    def _wrong(self, number: int, text: str, why: str) -> MeterError:
        return MeterError(f"{self._log.file}, line {number}: {why}: {text.strip()[:80]!r}")


def _calendar(text: str) -> float:
    """ISO 8601 as seconds since 1970; ValueError where it is none, or names no zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("it names no zone: write +00:00, or Z, or seconds since 1970")
    return at.timestamp()


class ExternalMeter:
    """Follows one log.

    Raises:
        MeterError: the file is not there or has no header that fits.
    """

    def __init__(self, log: ExternalLog) -> None:
        self._log = log
        try:
            self._file: IO[bytes] = log.file.open("rb")
        except OSError as error:
            raise MeterError(f"{log.file}: {error.strerror}; meters.external names it as a log") from error
        header = self._file.readline().decode("utf-8", errors="replace").lstrip("\ufeff")
        try:
            self._format = LogFormat(log, header)
            self._number = 1
            self._skip_what_is_old()
        except MeterError:
            self._file.close()
            raise
        self._rest = b""
        self._catching_up = True  # what stands there already may be of any age
        self._first_j: float | None = None
        note = f"the log {log.file.name}, its clock off by {log.clock_offset_s:g} s ± {log.clock_uncertainty_s:g} s"
        self._device = Device(log.device, log.boundary, "external", note)

    @property
    def devices(self) -> list[Device]:
        """The one device that the log is of."""
        return [self._device]

    def read(self, *, slow: bool) -> list[Reading]:  # noqa: ARG002 -- all of it is cheap
        """A reading for each line that was written since the last one; none where there is no new line.

        Raises:
            MeterError: a line is not understood, lies far from now, or the file was cut.
        """
        clock = ClockPair.now()
        found = []
        for text in self._new_lines():
            self._number += 1
            if not text.strip():
                continue
            line = self._format.line(text, self._number)
            reading = self._reading(line, clock)
            if reading is not None:
                found.append(reading)
        self._catching_up = False
        return found

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def _reading(self, line: Line, clock: ClockPair) -> Reading | None:
        behind_s = clock.realtime_ns * 1e-9 - (line.at_s - self._log.clock_offset_s)
        if behind_s > _KEPT_S and self._catching_up:
            return None
        if abs(behind_s) > _FAR_S:
            raise MeterError(
                f"{self._log.file}, line {self._number}: lies {behind_s / 3600:.3g} hours before now: seconds since "
                "1970 are asked for (not milliseconds), and clock_offset_s says by how much its clock is ahead"
            )
        joules = line.energy_j
        if joules is not None:
            self._first_j = joules if self._first_j is None else self._first_j
            joules -= self._first_j
        t_ns = clock.monotonic_ns - round(behind_s * 1e9)
        return Reading(self._device, t_ns, 0, power_w=line.power_w, energy_j=joules)

    def _new_lines(self) -> list[str]:
        """Whole lines; what has no end yet waits for it."""
        try:
            opened, now = os.fstat(self._file.fileno()), self._log.file.stat()
            position = self._file.tell()
            *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        except OSError as error:
            raise MeterError(f"{self._log.file}: cannot be read any more: {error.strerror}") from error
        if opened.st_size < position or (opened.st_dev, opened.st_ino) != (now.st_dev, now.st_ino):
            raise MeterError(f"{self._log.file}: was cut or written anew while it was read")
        return [line.decode("utf-8", errors="replace") for line in lines]

    def _skip_what_is_old(self) -> None:
        """Go near the end of a long log, to the beginning of a line; the numbers of lines stay right."""
        size = os.fstat(self._file.fileno()).st_size
        while size - self._file.tell() > _TAIL_BYTES:
            if not self._file.readline():
                break
            self._number += 1
