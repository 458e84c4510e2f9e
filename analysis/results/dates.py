"""Times as exchanges and grid operators write them: ISO 8601, the day first, or the month first with AM and PM."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise

_HOURS_EAST = {"utc": 0, "gmt": 0, "z": 0, "cet": 1, "mez": 1, "cest": 2, "mesz": 2}
_MARK = re.compile(r"\s*\(?(?P<zone>UTC|GMT|Z|CES?T|MES?Z)\)?$")  # ENTSO-E, on days that change summer time
_SLASHED = re.compile(r"\s*(\d{1,2})/(\d{1,2})/(\d{4})(?!\d)")
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_DAYS = ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d")
_DAYS_MONTH_FIRST = ("%m/%d/%Y", *_DAYS[1:])


class AmbiguousDatesError(ValueError):
    """Dates can be read with the day first or with the month first."""


def is_month_first(texts: Iterable[str]) -> bool:
    """Say whether dates of one file such as 11/26/2026 have the month first, as they are written in the US.

    Where all of them can be read either way, that way is right by which fewer neighbours have days between them; where
    these are as many, the way by which the widest gap is less than a quarter of the other's: days beside months.

    Raises:
        AmbiguousDatesError: neither way is the better one.
    """
    dates = {tuple(map(int, match.groups())) for text in texts if (match := _SLASHED.match(text))}
    by_day = _ordinals((year, month, day) for day, month, year in dates)
    by_month = _ordinals((year, month, day) for month, day, year in dates)
    if by_day is None or by_month is None:
        return by_day is None and by_month is not None
    if by_day == by_month:
        return False
    (holes_by_day, widest_by_day), (holes_by_month, widest_by_month) = _holes(by_day), _holes(by_month)
    narrow, wide = sorted((widest_by_day, widest_by_month))
    if holes_by_day != holes_by_month:
        return holes_by_month < holes_by_day
    if 4 * narrow >= wide:
        first, second, year = min(dates)
        raise AmbiguousDatesError(
            f"{first:02d}/{second:02d}/{year} may have the day first or the month: write dates as {year}-12-31"
        )
    return widest_by_month < widest_by_day


def parsed(text: str, *, month_first: bool = False) -> datetime | None:
    """Read a time, with its zone where it names one; None where it is in no form that is known."""
    text = text.strip()
    mark = _MARK.search(text)
    plain = text if mark is None else text[: mark.start()]
    at: datetime | None = None
    with suppress(ValueError):
        at = datetime.fromisoformat(plain)
    days = _DAYS_MONTH_FIRST if month_first else _DAYS
    for form in (f"{day} {clock}" for day in days for clock in _CLOCKS) if at is None else ():
        with suppress(ValueError):
            at = datetime.strptime(plain, form)
    if at is None or mark is None or at.tzinfo is not None:
        return at
    return at.replace(tzinfo=timezone(timedelta(hours=_HOURS_EAST[mark["zone"].lower()])))


def _ordinals(dates: Iterable[tuple[int, int, int]]) -> list[int] | None:
    """Days since the year 1, ascending; None where one is no date."""
    try:
        return sorted(date(*day).toordinal() for day in dates)
    except ValueError:
        return None


def _holes(days: list[int]) -> tuple[int, int]:
    """Return between how many neighbours days are missing, and how far those are apart that are farthest."""
    apart = [after - before for before, after in pairwise(days)]
    return sum(gap > 1 for gap in apart), max(apart, default=0)
