"""Prices and carbon by the hour, as exchanges and grid operators hand them out: a CSV file of times and values.

Separators, decimal commas, times with and without their zone, and units in the header differ from source to source;
what can be read in two ways is refused in words.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

import numpy as np

from analysis.arrays import Floats
from analysis.results.dates import AmbiguousDatesError, is_month_first, parsed
from configs.files.text_files import decoded, read_packed
from configs.files.values import figure, is_missing, seconds
from starwatt_errors import UsageError

_TIME = re.compile(r"time|date|datum|start|begin|from|von|mtu|hour|stunde|zeit|utc", re.IGNORECASE)
_START = re.compile(r"start|begin|von|from", re.IGNORECASE)
_END = re.compile(r"(?<![a-z])(end|ende|bis|until)(?![a-z])", re.IGNORECASE)
_BETWEEN = re.compile(r"\s+-\s+|\s*/(?=\d{4}-)")
_UNITS = re.compile(
    r"(?P<amount>\b(?:mg|kg|g|t)\s+CO[2₂](?:\s?e[a-z]*)?|[A-Za-z€$£₂]+[A-Za-z0-9₂]*)\s*(?:/|\bper\b)\s*"
    r"(?P<energy>[kM]?Wh)r?\b",
    re.IGNORECASE,
)
WH = MappingProxyType({"wh": 1.0, "kwh": 1e3, "mwh": 1e6})
_GRAMS = {"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6}
_CARBON = re.compile(r"(?P<mass>mg|kg|g|t)\s*(?i:CO[2₂](?:\s?e(?:q|quiv\w*)?)?)?")  # Mg is none of mg
_NO_MONEY = re.compile(r"CO[2₂]|^(?:lbs?|pounds?|tons?|tonnes?)$", re.IGNORECASE)  # as in lbs CO2/MWh
_ZONES = {"utc": "UTC", "gmt": "UTC", "cet": "Europe/Brussels", "cest": "Europe/Brussels", "mez": "Europe/Berlin",
          "mesz": "Europe/Berlin"}  # fmt: skip
_ZONE = re.compile(
    r"(?<![A-Z])(?:UTC|GMT|CES?T|MES?Z)(?![A-Za-z])|(?<![A-Za-z])(?:utc|gmt|ces?t|mes?z)(?![A-Za-z])"
)
_EAST = re.compile(r"\s*([+-](?:0?\d|1[0-4]))(?::?([0-5]\d))?(?!\d)")  # hours and minutes behind UTC or GMT
_YEARS = range(1970, 2100)
_SINCE_1970 = re.compile(r"(\d{9,10}|\d{13})([.,]\d+)?")
_MOST_BYTES = 256 << 20
_HOLE = 1.5  # usual steps: months differ, and a line that is missing is a hole


@dataclass(frozen=True)
class Hourly:
    """A series of n values, each from its start to its end, seconds since 1970; ascending, without overlap."""

    name: str
    unit: str
    """What a Wh is multiplied to: a currency, or ``gCO2e``."""
    start_s: Floats  # (n,)
    end_s: Floats  # (n,)
    per_wh: Floats  # (n,)

    def pieces(self, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        """Return the stretch cut where the value changes: its k + 1 edges, and the value of each piece (k,).

        Raises:
            UsageError: a part of it is not in the series.
        """
        first = int(np.searchsorted(self.end_s, start_s, side="right"))
        last = int(np.searchsorted(self.start_s, end_s, side="left"))
        starts, ends = self.start_s[first:last], self.end_s[first:last]
        whole = starts.size and starts[0] <= start_s and ends[-1] >= end_s
        if not whole or not np.all(starts[1:] <= ends[:-1]):
            raise UsageError(
                f"{self.name}: has no value for all of {_utc(start_s)} to {_utc(end_s)}, when the run was measured; it "
                f"goes from {_utc(float(self.start_s[0]))} to {_utc(float(self.end_s[-1]))}"
            )
        return np.concatenate([[start_s], starts[1:], [end_s]]), self.per_wh[first:last]


def read_hourly(flag: str, named: str, zone: str | None, *, carbon: bool) -> Hourly:
    """Read ``FILE`` or ``FILE:COLUMN``, a part of that column's title being enough.

    Args:
        flag: names the file in an error.
        named: the file, with the column where several have the unit.
        zone: an IANA name, of times whose zone neither they nor the header say.
        carbon: whether it is of carbon rather than of money.

    Raises:
        UsageError: it cannot be read, or can be read in several ways.
    """
    path, column = _file_of(named)
    separator, rows = _rows(flag, path)
    reader = _Reader(f"{flag} {path}", separator, rows[0][1], column, zone, carbon=carbon)
    return reader.series(path.name, reader.all_spans(rows[1:]))


def _file_of(named: str) -> tuple[Path, str | None]:
    if Path(named).is_file():
        return Path(named), None
    path, _, column = named.rpartition(":")
    return (Path(path), column.strip()) if path and Path(path).is_file() else (Path(named), None)


def _rows(flag: str, path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return the separator, and the lines that are not empty, with their numbers; the header first."""
    try:
        text = decoded(path, read_packed(path, _MOST_BYTES))
    except UsageError as error:
        raise UsageError(f"{flag} {error}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip(" ;,\t")]
    if len(lines) < 2:
        raise UsageError(f"{flag} {path}: takes a header and a line a time")
    separator = max(";\t,", key=lines[0][1].count)
    if separator not in lines[0][1]:
        raise UsageError(
            f"{flag} {path}: line 1: takes columns of times and values, with , or ; or tabs between"
        )
    try:
        rows = csv.reader([line for _, line in lines], delimiter=separator)
        fields = [[field.strip() for field in row] for row in rows]
        return separator, list(zip([number for number, _ in lines], fields, strict=True))
    except ValueError as error:
        raise UsageError(f"{flag} {path}: has a field of several lines, which no time or value is") from error
    except csv.Error as error:
        raise UsageError(f"{flag} {path}: is no CSV ({error})") from error


class _Reader:
    """The columns of one file, and how their fields are read."""

    def __init__(
        self,
        where: str,
        separator: str,
        header: Sequence[str],
        column: str | None,
        zone: str | None,
        *,
        carbon: bool,
    ) -> None:
        self._separator = separator
        self._where, self._header, self._carbon = where, header, carbon
        units = {k: unit for k, name in enumerate(header) if (unit := _unit_in(name, carbon=carbon))}
        self._value = self._chosen(units, column)
        self._scale, self._unit = units[self._value]
        self._time, self._end = _times([k for k in range(len(header)) if k not in units], header)
        self._zone = _zone_in(header[self._time]) or (None if zone is None else ZoneInfo(zone))
        self._last: datetime | None = None
        self._month_first = False

    def all_spans(self, rows: Sequence[tuple[int, list[str]]]) -> list[tuple[float, float, float]]:
        """Start, end (NaN where a line does not say) and value (NaN where it has none) of each line."""
        times = (time for _, row in rows if len(row) > self._time for time in self._times_in(row))
        try:
            self._month_first = is_month_first(times)
        except AmbiguousDatesError as error:
            raise UsageError(f"{self._where}: {error}") from None
        ordered = rows[::-1] if self._falls(rows) else rows
        spans = (self._span(row, number) for number, row in ordered)
        return [span for span in spans if span is not None]

    def _falls(self, rows: Sequence[tuple[int, list[str]]]) -> bool:
        """Say whether the last line is before the first, in times that have no zone of their own."""
        ends = [row[self._time] for _, row in (rows[0], rows[-1]) if len(row) > self._time]
        first, *last = (parsed(_BETWEEN.split(end)[0], month_first=self._month_first) for end in ends)
        if first is None or not last or last[0] is None or first.tzinfo or last[0].tzinfo:
            return False
        return last[0] < first

    def _chosen(self, units: Iterable[int], column: str | None) -> int:
        known = list(units)
        asked = [k for k in known if column is None or column.lower() in self._header[k].lower()]
        if len(asked) == 1:
            return asked[0]
        if not known:
            example = "carbon (gCO2e/kWh)" if self._carbon else "price (EUR/MWh)"
            raise UsageError(
                f"{self._where}: line 1: no column names its unit: title it as in time,{example}"
            )
        titles = ", ".join(repr(self._header[k]) for k in known)
        raise UsageError(
            f"{self._where}: line 1: say which column by FILE:PART-OF-ITS-TITLE; these have a unit: {titles}"
        )

    def _span(self, row: Sequence[str], number: int) -> tuple[float, float, float] | None:
        """None where a line has no value, and its time is in the hour that is left out as summer time begins."""
        where = f"{self._where}: line {number}"
        if len(row) <= max(self._time, self._value):
            raise UsageError(f"{where}: has {len(row)} columns, and its header {len(self._header)}")
        start, *end = self._times_in(row)
        value = np.nan if is_missing(row[self._value]) else self._number(row[self._value], where)
        if self._is_left_out(start):
            if np.isnan(value):
                return None
            raise UsageError(
                f"{where}: {start!r} is no time of {self._zone}, where summer time begins in that hour: title times "
                "without summer time by their hours east of UTC, as in time (UTC+1)"
            )
        start_s = self._seconds(start, where, follows=True)
        end_s = self._seconds(end[0], where, follows=False) if end else np.nan
        return start_s, end_s if end_s > start_s else np.nan, value * self._scale

    def _is_left_out(self, text: str) -> bool:
        at = parsed(text, month_first=self._month_first)
        if self._zone is None or at is None or at.tzinfo is not None or at.year not in _YEARS:
            return False
        return at.replace(tzinfo=self._zone).astimezone(UTC).astimezone(self._zone).replace(tzinfo=None) != at

    def _times_in(self, row: Sequence[str]) -> list[str]:
        """Return a line's start, and its end where the line says it."""
        start, *end = _BETWEEN.split(row[self._time], maxsplit=1)
        if self._end is not None and self._end < len(row):
            end = [row[self._end]]
        return [start, *end]

    def _number(self, text: str, where: str) -> float:
        try:
            value, unit = figure(text.replace("\u2212", "-"), comma_separated=self._separator == ",")
        except ValueError as error:
            raise UsageError(f"{where}: {self._header[self._value]!r} takes a number: {error}") from None
        if unit:
            raise UsageError(f"{where}: {self._header[self._value]!r} takes a number (given: {text!r})")
        if self._carbon and value < 0:
            raise UsageError(
                f"{where}: {self._header[self._value]!r} takes what is not below 0 (given: {text!r})"
            )
        return value

    def _seconds(self, text: str, where: str, *, follows: bool) -> float:
        if _SINCE_1970.fullmatch(text):
            return seconds(text, None)
        at = parsed(text, month_first=self._month_first)
        if at is None or at.year not in _YEARS:
            raise UsageError(f"{where}: {text!r} is no time that is known, such as 2026-11-26T09:00:00+01:00")
        if at.tzinfo is not None:
            return at.timestamp()
        if self._zone is None:
            raise UsageError(
                f"{where}: {text!r} names no zone: say it by --zone, such as --zone Europe/Berlin"
            )
        local = at.replace(tzinfo=self._zone)
        if follows:  # the hour that comes twice as summer time ends
            if self._last is not None and local.timestamp() <= self._last.timestamp():
                local = local.replace(fold=1)
            self._last = local
        elif self._last is not None and local.timestamp() <= self._last.timestamp():
            local = local.replace(fold=1)
        return local.timestamp()

    def series(self, name: str, spans: Sequence[tuple[float, float, float]]) -> Hourly:
        """Return the whole of it: a line lasts until it says, or until the next; the last as long as most."""
        start_s, end_s, per_wh = np.array(sorted(spans)).T
        known = np.isfinite(per_wh)
        if not known.any():
            raise UsageError(f"{self._where}: no line has a value")
        steps = np.diff(start_s)
        if (steps <= 0).any():
            twice = float(start_s[1:][steps <= 0][0])
            raise UsageError(
                f"{self._where}: has {_utc(twice)} twice: keep the lines of one zone, and one resolution"
            )
        usual_s = float(np.sort(steps)[(steps.size - 1) // 2]) if steps.size else 3600.0
        follows_s = np.where(steps > _HOLE * usual_s, start_s[:-1] + usual_s, start_s[1:])
        until_s = np.append(follows_s, start_s[-1] + usual_s)
        end_s = np.where(np.isnan(end_s), until_s, np.minimum(end_s, np.append(start_s[1:], np.inf)))
        return Hourly(name, self._unit, start_s[known], end_s[known], per_wh[known])


def _times(places: Sequence[int], header: Sequence[str]) -> tuple[int, int | None]:
    """Return which columns hold a line's start and end; the first where none is titled so, and no end where none is."""
    ends = [k for k in places if _END.search(header[k])]
    times = [k for k in places if k not in ends and _TIME.search(header[k])]
    starts = [k for k in times if _START.search(header[k])]
    return (starts or times or [*places, 0])[0], ends[0] if ends else None


def _zone_in(title: str) -> tzinfo | None:
    """Return the zone that a column's title names; ``UTC+01:00`` is an hour east of UTC."""
    said = _ZONE.search(title)
    if said is None:
        return None
    east = _EAST.match(title, said.end()) if said[0].upper() in ("UTC", "GMT") else None
    if east is None:
        return ZoneInfo(_ZONES[said[0].lower()])
    minutes = int(east[2] or 0) * (-1 if east[1][0] == "-" else 1)
    return timezone(timedelta(hours=int(east[1]), minutes=minutes))


def _unit_in(title: str, *, carbon: bool) -> tuple[float, str] | None:
    """Return how much of what a Wh is, where a column's title has a unit of carbon, or of money, for energy."""
    match = _UNITS.search(title)
    if match is None:
        return None
    wh, grams = WH[match["energy"].lower()], grams_of(match["amount"])
    if carbon:
        return None if grams is None else (grams / wh, "gCO2e")
    is_mass = grams is not None or _NO_MONEY.search(match["amount"]) is not None
    return None if is_mass else (1 / wh, match["amount"])


def grams_of(unit: str) -> float | None:
    """Return grams of CO2 equivalent in a unit such as ``g``, ``kgCO2`` or ``gCO2eq``; None: it is none of carbon."""
    mass = _CARBON.fullmatch(unit)
    return None if mass is None else _GRAMS[mass["mass"]]


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
