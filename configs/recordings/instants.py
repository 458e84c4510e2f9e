"""Times as recordings have them: numbers since something, or dates with up to nine decimals."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import lru_cache

NS_PER_S = 10**9
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,2})?", re.ASCII)
_DATE = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s*(Z|UTC|[-+]\d{2}:?\d{2})?",
    re.ASCII | re.IGNORECASE,
)
_LONGEST = 40
_HOURS, _SIXTY = 24, 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NS = 2**63 - 1


def instant_ns(text: str, unit_ns: int) -> int | None:
    """Read nanoseconds: a number of units, or a date (of UTC unless it says another zone); None: it is neither.

    Dates are counted from 1970; what a number is counted from, its file knows.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    if _NUMBER.fullmatch(text):
        time_ns = round(Decimal(text) * unit_ns)
        return time_ns if abs(time_ns) <= _MOST_NS else None
    dated = _DATE.fullmatch(text)
    return None if dated is None else _date_ns(dated)


def _date_ns(dated: re.Match[str]) -> int | None:
    day, hour, minute, second, decimals, zone = dated.groups()
    midnight_s = _midnight_s(day, zone)
    if midnight_s is None or int(hour) >= _HOURS or int(minute) >= _SIXTY or int(second) > _SIXTY:
        return None
    seconds = midnight_s + (int(hour) * _SIXTY + int(minute)) * _SIXTY + int(second)
    since_ns = seconds * NS_PER_S + int((decimals or "0").ljust(9, "0"))
    return since_ns if abs(since_ns) <= _MOST_NS else None


@lru_cache(maxsize=1024)
def _midnight_s(day: str, zone: str | None) -> int | None:
    """Count seconds from 1970 to a day's beginning, which many requests share; None: there is no such day."""
    try:
        midnight = datetime.combine(date.fromisoformat(day), time(), _zone(zone))
        return (midnight - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if not text or text[0] not in "+-":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    return timezone((1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))
