"""Times as recordings have them: numbers since something, or dates with up to nine decimals."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

NS_PER_S = 10**9
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,2})?", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s*(Z|UTC|[-+]\d{2}:?\d{2})?",
    re.ASCII | re.IGNORECASE,
)
_LONGEST = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NS = 2**63 - 1


def instant_ns(text: str, unit_ns: int) -> int | None:
    """Nanoseconds of a time: a number of units, or a date (of UTC unless it says another zone); None: it is neither.

    Dates are counted from 1970; what a number is counted from, its file knows.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    if _NUMBER.fullmatch(text):
        found = round(Decimal(text) * unit_ns)
        return found if abs(found) <= _MOST_NS else None
    date = _DATE.fullmatch(text)
    return None if date is None else _date_ns(date)


def _date_ns(date: re.Match[str]) -> int | None:
    *parts, decimals, zone = date.groups()
    try:
        moment = datetime(*map(int, parts), tzinfo=_zone(zone))  # type: ignore[misc, arg-type]
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    found = seconds * NS_PER_S + int((decimals or "0").ljust(9, "0"))
    return found if abs(found) <= _MOST_NS else None


def _zone(text: str | None) -> timezone:
    if not text or text[0] not in "+-":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    return timezone((1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))
