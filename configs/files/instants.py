"""Read times as recordings have them: numbers since something, or dates with up to nine decimals."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

NS_PER_S = 10**9
UNITS = MappingProxyType(
    {"s": NS_PER_S, "ms": 10**6, "us": 10**3, "ns": 1, "min": 60 * NS_PER_S, "h": 3600 * NS_PER_S}
)
"""Nanoseconds of what a number may count, by the endings of names."""
_SINCE_1970 = (1e17, UNITS["ns"]), (1e14, UNITS["us"]), (1e11, UNITS["ms"]), (1e9, UNITS["s"])
"""From which number on it counts from 1970, and what: 1e9 s is in 2001, 1e11 s would be in 5138."""
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PREFIXES = {"m": "ms", "milli": "ms", "u": "us", "\u03bc": "us", "micro": "us", "n": "ns", "nano": "ns"}
_TITLE = re.compile(
    rf"(?:(?<![a-z])|(?<=time|tamp))(?:({'|'.join(_PREFIXES)})s(?:ec(?:ond)?s?)?|(min)(?:ute)?s?|(h)(?:(?:ou)?rs?)?|(s)(?:ec(?:ond)?s?)?)\W*$"
)
_DATED = 0  # in place of what numbers count
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,2})?", re.ASCII)
_DATE = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s*(Z|UTC|[-+]\d{2}(?::?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_LONGEST = 40
_HOURS, _SIXTY = 24, 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NS = 2**63 - 1


class Instants:
    """Read the times of one file: all are dates, or all are numbers of one unit, as the first of them is."""

    def __init__(self, usual_ns: int, *, stated: bool = False) -> None:
        """Take numbers for counts of ``usual_ns``, unless by its size the first counts from 1970 and none is stated."""
        self._usual_ns, self._stated = usual_ns, stated
        self._unit_ns: int | None = None

    def ns(self, text: str) -> int | None:
        """Read a time in nanoseconds (a date is of UTC unless it says a zone); None: it is none, or of another kind.

        Dates are counted from 1970; what a number is counted from, its file knows.
        """
        text = text.strip()
        if len(text) > _LONGEST:
            return None
        if self._unit_ns is None:
            self._unit_ns = self._unit_of(text)
        if self._unit_ns == _DATED:
            dated = _DATE.fullmatch(text)
            return None if dated is None else _date_ns(dated)
        if not _NUMBER.fullmatch(text):
            return None
        found = round(Decimal(text) * self._unit_ns)
        return found if abs(found) <= _MOST_NS else None

    def _unit_of(self, first: str) -> int:
        if not _NUMBER.fullmatch(first):
            return _DATED
        if self._stated:
            return self._usual_ns
        return next((ns for least, ns in _SINCE_1970 if float(first) >= least), self._usual_ns)


def unit_ns_of(title: str) -> int:
    """Return the nanoseconds of what a column counts by its title (``time_ms``, ``t [min]``); else of a second."""
    return titled(title)[1] or NS_PER_S


def titled(title: str) -> tuple[str, int | None]:
    """Divide a column's title into the letters of its name, and the nanoseconds of its unit; None: it has no unit."""
    words = _HUMP.sub(" ", title).casefold()
    said = _TITLE.search(words)
    name = re.sub(r"[^a-z]", "", words if said is None else words[: said.start()])
    if said is None:
        return name, None
    prefix, *others = said.groups()
    return name, UNITS[_PREFIXES[prefix] if prefix else next(filter(None, others))]


def _date_ns(found: re.Match[str]) -> int | None:
    day, hour, minute, second, decimals, zone = found.groups()
    midnight_s = _midnight_s(day, zone)
    if midnight_s is None or int(hour) >= _HOURS or int(minute) >= _SIXTY or int(second) > _SIXTY:
        return None
    seconds = midnight_s + (int(hour) * _SIXTY + int(minute)) * _SIXTY + int(second)
    since_ns = seconds * NS_PER_S + int((decimals or "0").ljust(9, "0"))
    return since_ns if abs(since_ns) <= _MOST_NS else None


@lru_cache(maxsize=1024)
def _midnight_s(day: str, zone: str | None) -> int | None:
    """Return the seconds from 1970 to the beginning of a day, which many requests share; None: there is no such day."""
    try:
        midnight = datetime.combine(date.fromisoformat(day), time(), _zone(zone))
        return (midnight - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if not text or text[0] not in "+-":
        return UTC
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)  # PostgreSQL writes hours alone
    return timezone((1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))
