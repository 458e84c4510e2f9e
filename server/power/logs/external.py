"""A wall meter's or a BMC's log, read while another program writes it (its forms: server/power/logs/formats.py).

Each line becomes a reading at the line's own time, put on this machine's clock by the calendar and the offset that
the study states; how well that offset is known stands in the study's file and is part of the energy's uncertainty.
"""

from __future__ import annotations

import codecs
import os
from typing import IO

from configs.meters import ExternalLog
from server.power.logs.formats import format_of
from server.power.logs.reader import Line
from server.power.logs.several import Growing
from server.power.meter import Device, Reading
from starwatt_errors import MeterError
from traces.clock import ClockPair

_KEPT_S = 10.0  # lines that are older when the log is opened are of no interest
_FAR_S = 3600.0  # a line this far from now has another clock or another unit
_TAIL_BYTES = 1 << 16
_FIRST_LINES = 8  # that show a log's form


class ExternalMeter:
    """Follows one log.

    Raises:
        MeterError: the file is missing or has no header that fits.
    """

    def __init__(self, log: ExternalLog) -> None:
        self._log = log
        try:
            self._file: IO[bytes] = log.file.open("rb")
        except OSError as error:
            raise MeterError(f"{log.file}: {error.strerror}; meters.external names it as a log") from error
        try:
            self._format = format_of(log, self._first_lines())
            self._number = 0
            self._skip_what_is_old()
        except MeterError:
            self._file.close()
            raise
        self._rest = b""
        self._catching_up = True  # what stands there already may be of any age
        self._first_j: float | None = None
        self._growing = Growing(log)
        note = f"the log {log.file.name}, its clock off by {log.clock_offset_s:g} s ± {log.clock_uncertainty_s:g} s"
        self.devices = [Device(log.device, log.boundary, "external", note)]

    def read(self, *, slow: bool) -> list[Reading]:  # noqa: ARG002 -- all of it is cheap
        """Return a reading for each line that was written since the last one; none where there is no new line.

        Raises:
            MeterError: a line is not understood or lies far from now, lines are of several devices, or the file was
                cut.
        """
        clock = ClockPair.now()
        lines, readings = [], []
        for text in self._new_lines():
            self._number += 1
            line = self._format.line(text, self._number)
            if line is None:
                continue
            lines.append(line)
            reading = self._reading(line, clock)
            if reading is not None:
                readings.append(reading)
        if not self._format.tells_devices:
            self._growing.heed(lines)
        self._catching_up = False
        return readings

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def _reading(self, line: Line, clock: ClockPair) -> Reading | None:
        if line.at_s is None:
            return (
                None if self._catching_up else Reading(self.devices[0], clock.monotonic_ns, 0, line.power_w)
            )
        behind_s = clock.realtime_ns * 1e-9 - (line.at_s - self._log.clock_offset_s)
        if behind_s > _KEPT_S and self._catching_up:
            return None
        if abs(behind_s) > _FAR_S:
            raise MeterError(
                f"{self._log.file}, line {self._number}: lies {behind_s / 3600:.3g} hours before now: "
                "zone is that of times without one, and clock_offset_s says by how much its clock is ahead"
            )
        joules = line.energy_j
        if joules is not None:
            self._first_j = joules if self._first_j is None else self._first_j
            joules -= self._first_j
        t_ns = clock.monotonic_ns - round(behind_s * 1e9)
        late_ns = 0 if self._catching_up else clock.monotonic_ns - t_ns
        return Reading(self.devices[0], t_ns, late_ns, power_w=line.power_w, energy_j=joules)

    def _new_lines(self) -> list[str]:
        """Whole lines; what has no end yet waits for it."""
        try:
            opened, now = os.fstat(self._file.fileno()), self._log.file.stat()
            position = self._file.tell()
            *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        except OSError as error:
            raise MeterError(f"{self._log.file}: cannot be read any more: {error.strerror}") from error
        if opened.st_size < max(position, self._seen_bytes) or (opened.st_dev, opened.st_ino) != (
            now.st_dev,
            now.st_ino,
        ):
            raise MeterError(f"{self._log.file}: was cut or written anew while it was read")
        return [line.decode("utf-8", errors="replace").lstrip("\ufeff").rstrip("\r") for line in lines]

    def _first_lines(self) -> list[str]:
        """Return the log's first whole lines; it is read from its beginning afterwards."""
        lines = [self._file.readline() for _ in range(_FIRST_LINES)]
        self._seen_bytes = self._file.tell()
        self._file.seek(0)
        if lines[0].startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise MeterError(f"{self._log.file}: is UTF-16, as PowerShell's > writes it: write it as UTF-8")
        whole = [
            line.decode("utf-8", errors="replace").lstrip("\ufeff") for line in lines if line.endswith(b"\n")
        ]
        if not any(line.strip() for line in whole):
            raise MeterError(f"{self._log.file}: has no header yet; start what writes it first")
        return whole

    def _skip_what_is_old(self) -> None:
        """Go near the end of a long log, to the beginning of a line; its header is read, line numbers stay right."""
        size = os.fstat(self._file.fileno()).st_size
        if size > _TAIL_BYTES:
            for text in self._first_lines():
                self._format.line(text, 0)
        while size - self._file.tell() > _TAIL_BYTES:
            if not self._file.readline():
                break
            self._number += 1
