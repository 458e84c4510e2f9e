"""Logs that are no CSV with a header: what PTDaemon, dcgmi dmon, nvidia-smi dmon, ipmitool and FreeIPMI write."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from configs.meters import ExternalLog
from server.power.logs.reader import Line, Reader

_NO_CLOCK = ("Unspecified", "Unknown", "Pre-Init")
_ZONE = re.compile(r" (?!(?:UTC|GMT|AM|PM)$)([A-Z]{3,5})$")


class PtDaemon(Reader):
    """SPEC PTDaemon's log (MLPerf Power's spl.txt): ``Time,07-02-2021 17:39:13.000,Watts,8.03,Volts,...``."""

    def parsed(self, text: str) -> Line | None:
        """Read names and values in turn; a value below zero says that the analyser had none."""
        if not text.strip():
            return None
        fields = [field.strip() for field in text.split(",")]
        if len(fields) < 4 or fields[0] != "Time" or "Watts" not in fields[2::2]:
            raise ValueError("is no line of PTDaemon's (Time,...,Watts,...)")
        watts = fields[3 + fields[2::2].index("Watts") * 2]
        at_s = self.seconds(fields[1])
        if re.fullmatch(r"-[\d.]+", watts):
            return Line(at_s, None)
        return Line(at_s, self.figure(watts, unit_w=1.0))


class DcgmiDmon(Reader):
    """``dcgmi dmon -e 155``: columns of blanks, a header that comes again and again, and no time but one put before."""

    def __init__(self, log: ExternalLog) -> None:
        super().__init__(log)
        self._power: int | None = None
        self.power_name: str | None = None

    def parsed(self, text: str) -> Line | None:
        """Read ``GPU 0  120.5``: an entity of two words, then the header's columns."""
        header = re.search(r"#\s*Entity\b(.*)", text)
        if header is not None:
            names = header[1].split()
            columns = [name for name in ("POWER", "POWIN", "PWRINST") if name in names]
            if not columns:
                raise ValueError("has no column POWER (dcgmi dmon -e 155)")
            self.power_name, self._power = columns[0], names.index(columns[0])
            return None
        entity = re.match(r"(.*?)\b(GPU(?:-I|-CI)?\s+\d+)\s+(.*)", text)
        if entity is None or self._power is None:
            return None  # units, and what stands before the first header
        values = re.findall(r"\S+", entity[3])
        if len(values) <= self._power:
            raise ValueError("has fewer columns than its header")
        if not self.is_ours(" ".join(entity[2].split())):
            return None
        at_s = self.seconds(entity[1]) if entity[1].strip() else None
        return Line(at_s, self.figure(values[self._power], unit_w=1.0))


class NvidiaDmon(Reader):
    """``nvidia-smi dmon -s p -o DT``: columns of blanks or commas, a header that comes again and again."""

    def __init__(self, log: ExternalLog) -> None:
        super().__init__(log)
        self._names: list[str] = []
        self.power_name = "pwr"

    def parsed(self, text: str) -> Line | None:
        """Read ``20261126  09:30:00  0  120  45  -`` by the header's names; a second line of it has the units."""
        fields = [field for field in re.split(r"[\s,]+", text.strip().lstrip("#")) if field]
        if text.strip().startswith("#"):
            self._names = fields if "gpu" in fields else self._names
            if self.power_name not in self._names:
                raise ValueError("has no column pwr (nvidia-smi dmon -s p -o DT)")
            return None
        if not fields or not self._names:
            return None
        if len(fields) != len(self._names):
            raise ValueError(f"has {len(fields)} columns where the header has {len(self._names)}")
        row = dict(zip(self._names, fields, strict=True))
        if not self.is_ours(row["gpu"]):
            return None
        dated = "Date" in row and "Time" in row
        at_s = self.seconds(f"{row['Date']}T{row['Time']}") if dated else None
        return Line(at_s, self.figure(row[self.power_name], unit_w=1.0))


@dataclass(frozen=True)
class _Names:
    """What the lines of a block are called that tell something, and a reading that is one."""

    power: str
    time: str
    state: str
    active: str


class Ipmitool(Reader):
    """``ipmitool dcmi power reading`` again and again: a block of lines each, with the BMC's own time."""

    names = _Names("Instantaneous power reading", "IPMI timestamp", "Power reading state is", "activated")

    def __init__(self, log: ExternalLog) -> None:
        super().__init__(log)
        self._watts: float | None = None
        self._at_s: float | None = None

    def parsed(self, text: str) -> Line | None:
        """Read a block, whose last line gives its reading; a BMC whose reading is not active has none."""
        name, _, value = (part.strip() for part in text.partition(":"))
        if name == self.names.power:
            self._watts, self._at_s = self.figure(value, unit_w=1.0), None
        elif name == self.names.time:
            self._at_s = self._time(value.partition("Sampling period")[0].replace(" - ", " ").strip())
        elif name == self.names.state:
            return Line(self._at_s, self._watts if value == self.names.active else None)
        return None

    def _time(self, value: str) -> float | None:
        """Read the BMC's time; None where nobody has set its clock. Release 1.8.19 names its zone."""
        if value.startswith(_NO_CLOCK):
            return None
        zone = _ZONE.search(value)
        if zone is not None and self.log.zone is None and zone[1] not in time.tzname:
            raise ValueError(
                f"its time is in {zone[1]}, which is not this machine's zone: say which it is (zone)"
            )
        return self.seconds(_ZONE.sub("", value))


class FreeIpmi(Ipmitool):
    """``ipmi-dcmi --get-system-power-statistics`` of FreeIPMI again and again."""

    names = _Names("Current Power", "Time Stamp", "Power Measurement", "Active")
