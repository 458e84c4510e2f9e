"""Logs that are CSV with a header, of whatever separator, decimal mark and unit."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from configs.files.csv_lines import is_before_a_header, separator_of, split
from configs.files.instants import NS_PER_S, titled, unit_ns_of
from configs.files.values import WATTS, is_missing, watts_of
from configs.meters import ExternalLog
from server.power.logs.reader import Line, Reader
from starwatt_errors import MeterError

_JOULES = {"J": 1.0, "Wh": 3600.0, "kWh": 3.6e6}
_UNIT_COLUMNS = ("unit", "units", "unit_of_measurement", "uom")
_SHOWN = 300  # of a header, in an error
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(:\d\d.*)?")
_PREFIX = {"W": "", "kW": "k", "mW": "m", "MW": "mega"}


@dataclass(frozen=True)
class Columns:
    """The columns of a form that is known: the first name of each that the header has."""

    time: tuple[str, ...]
    power: tuple[str, ...]
    device: tuple[str, ...] = ()
    """Those that tell the devices of one log apart."""


class Table(Reader):
    """CSV with a header; separated by commas, semicolons or tabs, whichever the header has."""

    def __init__(self, log: ExternalLog, columns: Columns, *, known: bool) -> None:
        super().__init__(log, known=known)
        self._known, self._columns = known, columns
        self._separator = ","
        self._names: list[str] = []
        self._time = -1
        self._power: int | None = None
        self._energy: int | None = None
        self._device: int | None = None
        self._unit: int | None = None
        self._date: int | None = None
        self._unit_w = 1.0
        self._unit_s: float | None = None

    @property
    def power_name(self) -> str | None:
        """Return the column that power is read from, once its header has been."""
        return None if self._power is None else self._names[self._power]

    def parsed(self, text: str) -> Line | None:
        """Read a line; the header gives None."""
        if not text.strip() or (self._known and text.startswith("#")):
            if text.startswith("#"):
                self._names = []  # InfluxDB's annotations come before a header of their own
            return None
        if not self._names:
            if not is_before_a_header(text):
                self._header(text)
            return None
        fields = self._fields(text)
        if fields == self._names or not self._is_ours(fields):
            return None
        power_w = self._watts(fields)
        joules = None
        if self._energy is not None:
            shown = self.figure(fields[self._energy], unit_w=None)
            joules = None if shown is None else shown * _JOULES[self.log.energy_unit]
        at = fields[self._time]
        if self._date is not None and _TIME_OF_DAY.fullmatch(at):
            at = f"{fields[self._date]} {at}"
        return Line(self.seconds(at, self._unit_s), power_w, joules)

    def _fields(self, text: str) -> list[str]:
        try:
            fields = split(text, self._separator)
        except csv.Error as error:
            raise ValueError(f"is no CSV ({error})") from error
        if len(fields) != len(self._names):
            raise ValueError(f"has {len(fields)} columns where the header has {len(self._names)}")
        return fields

    def _is_ours(self, fields: Sequence[str]) -> bool:
        if self._device is None:
            return True
        return self.is_ours(fields[self._device], f" by its column {self._names[self._device]}")

    def _watts(self, fields: Sequence[str]) -> float | None:
        if self._power is None or is_missing(fields[self._power]):
            return None
        unit = "" if self._unit is None or self._energy is not None else f" {fields[self._unit]}"
        return self.figure(fields[self._power] + unit, unit_w=self._unit_w)

    def _header(self, text: str) -> None:
        log = self.log
        self._separator = separator_of(text)
        self._comma_separated = self._separator == ","
        try:
            self._names = split(text, self._separator)
        except csv.Error as error:
            raise MeterError(f"{log.file}: its header is no CSV: {error}") from error
        time = self._chosen("time_column", self._columns.time) or log.time_column
        power = self._chosen("power_column", self._columns.power)
        wanted = [column for column in (time, power, log.energy_column) if column is not None]
        self._refuse_missing(wanted, text)
        twice = [name for name in (time, power, log.energy_column) if name and self._names.count(name) > 1]
        if twice:
            raise MeterError(
                f"{log.file}: has several columns {', '.join(twice)}: give each a name of its own"
            )
        self._time, self._unit_s = self._names.index(time), _unit_s_of(time)
        self._power, self._energy = self._place(power), self._place(log.energy_column)
        self._device = self._place(self._first(self._columns.device))
        self._refuse_select_of_nothing()
        self._unit = self._place(self._first(_UNIT_COLUMNS))
        self._date = self._place(self._first(("date",)))
        if power is not None:
            self._unit_w = self._unit_of(power)

    def _refuse_missing(self, wanted: Sequence[str], text: str) -> None:
        missing = [column for column in wanted if column not in self._names]
        if missing:
            remedy = (
                "which is no header: write one before it, such as time,power_w"
                if re.match(r"\W?\d", text.strip())
                else "name them under meters.external (time_column, power_column, energy_column)"
            )
            raise MeterError(
                f"{self.log.file}: has no column {', '.join(missing)}; its header is {text.strip()[:_SHOWN]!r}: "
                f"{remedy}"
            )

    def _refuse_select_of_nothing(self) -> None:
        if self.log.select is not None and self._device is None:
            raise MeterError(
                f"{self.log.file}: has no column that tells devices apart, so that select ({self.log.select}) selects "
                f"nothing: title it {', '.join(self._columns.device)}"
            )

    def _chosen(self, field: str, usual: Sequence[str]) -> str | None:
        """Return the column that a field of the study names; at its default, what the header has for it."""
        name: str | None = getattr(self.log, field)
        if name is None or name in self._names or name != type(self.log).model_fields[field].default:
            return name
        other = self._only_power() if field == "power_column" else self._with_unit(usual)
        return self._first(usual) or other or name

    def _place(self, column: str | None) -> int | None:
        return None if column is None else self._names.index(column)

    def _unit_of(self, name: str) -> float:
        if self.log.power_unit != "auto":
            return WATTS[_PREFIX[self.log.power_unit]]
        try:
            found_w = watts_of(name)
        except ValueError as error:
            raise ValueError(f"{error}: give meters.external's power_unit") from error
        return 1.0 if found_w is None else found_w

    def _first(self, wanted: Sequence[str]) -> str | None:
        lower = {name.lower(): name for name in reversed(self._names)}
        return next((lower[name.lower()] for name in wanted if name.lower() in lower), None)

    def _with_unit(self, usual: Sequence[str]) -> str | None:
        """Return the first column that is called as usual with a unit behind it: ``time (min)``."""
        divided = [(titled(name), name) for name in self._names]
        return next((name for (plain, unit), name in divided if unit and plain in usual), None)

    def _only_power(self) -> str | None:
        """Return the one column that is called power or watts."""
        columns = [name for name in self._names if re.search(r"power|watt", name, re.IGNORECASE)]
        return columns[0] if len(columns) == 1 else None


def _unit_s_of(title: str) -> float | None:
    """Return what a column of times counts by its title, in seconds; None of one that says seconds, or nothing."""
    unit_ns = unit_ns_of(title)
    return None if unit_ns == NS_PER_S else unit_ns / NS_PER_S
