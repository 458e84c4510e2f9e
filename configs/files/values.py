"""Read one field of people's tables and logs: a number with its unit, a missing value, a time with or without zone."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_EPOCH = re.compile(r"[-+]?\d+([.,]\d*)?([eE][-+]?\d+)?")
_TIMES = ("%Y/%m/%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S", "%m-%d-%Y %H:%M:%S.%f", "%m-%d-%Y %H:%M:%S",
          "%a %b %d %H:%M:%S %Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S.%f",
          "%m/%d/%Y %I:%M:%S %p", "%d-%b-%Y %H:%M:%S")  # fmt: skip
_WITHOUT_YEAR = re.compile(r"[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d(\.\d+)?")
_YEARS = range(1969, 2200)  # a clock that nobody has set begins in 1970, west of UTC in 1969
_UTC = re.compile(r"\s*(UTC|GMT)$")
_PARTS = (1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3)
"""From which count since 1970 on it is of nano-, micro- or milliseconds, in seconds; 1e11 s is the year 5138."""
_MISSING = frozenset(
    ("", "-", "--", "?", "nan", "n/a", "n/e", "#n/a", "n.a.", "na", "none", "null", "unavailable", "unknown",
     "not supported", "unknown error", "not available", "no data", "undefined", "missing", "err", "err!", "error",
     "gpu is lost", "gpu requires reset")
)  # fmt: skip
_WORDS_IN_BRACKETS = re.compile(r"\[[^\d\[\]]*\]")  # nvidia-smi: [Insufficient Permissions] and more
_NUMBER = re.compile(r"([-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*([A-Za-z\u00b5\u03bc]*)")
_SPACED = re.compile(r"(?<=\d)[ '\u2019\u00a0\u202f](?=\d{3}(?!\d))")  # between groups of three digits
_GROUPS = re.compile(r"[-+]?\d{1,3}(([.,])\d{3})(\2\d{3})+")
_MAY_GROUP = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_PREFIX = "k|m|u|\u00b5|\u03bc|kilo|milli|micro|mega"
_UNIT = re.compile(rf"(?:^|[\s_(\[./-])({_PREFIX})?w(?:atts?)?(?=$|[\s)\]])", re.IGNORECASE)
_OTHER_UNIT = re.compile(
    r"(?:^|[\s_(\[./-])[km]?(?:va|var|va?rh|w\.?h|joules?|j|dbm|btu|hp)(?:/h)?[\s)\]]*$", re.IGNORECASE
)
_BRACKET = re.compile(r"[\[(]\s*([^\])]*?)\s*[\])]\s*$")
WATTS = {
    "": 1.0, "k": 1e3, "kilo": 1e3, "m": 1e-3, "milli": 1e-3, "mega": 1e6,
    "u": 1e-6, "\u00b5": 1e-6, "\u03bc": 1e-6, "micro": 1e-6,
}  # fmt: skip


def is_missing(text: str) -> bool:
    """Say whether a log says here that it has no value."""
    bracketed = _WORDS_IN_BRACKETS.fullmatch(text.strip()) is not None
    words = text.strip().strip("[]").strip().lower()
    return (
        bracketed
        or words in _MISSING
        or (not words[:1].isdigit() and words.rpartition(" ")[0] in _MISSING - {""})
    )


def figure(text: str, *, comma_separated: bool = False) -> tuple[float, str]:
    """Read a finite number and the unit behind it, if any.

    The last of comma and point is decimal, unless it comes again: then it groups, as blanks do.

    Args:
        text: the number.
        comma_separated: commas are between the log's columns, so that one within quotes may group.

    Raises:
        ValueError: it is none, or can be read in two ways.
    """
    match = _NUMBER.fullmatch(_SPACED.sub("", text.strip()))
    if match is None:
        raise ValueError(f"{text!r} is no number")
    digits = match[1]
    if comma_separated and _MAY_GROUP.fullmatch(digits):
        raise ValueError(f"{text!r} may have a decimal comma, or one between thousands")
    if _GROUPS.fullmatch(digits):
        digits = re.sub(r"[.,]", "", digits)
    elif "," in digits:
        last = max(digits.rfind(","), digits.rfind("."))
        whole, part = digits[:last], digits[last + 1 :]
        digits = re.sub(r"[.,]", "", whole) + "." + part
    try:
        value = float(digits)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value, match[2]


def watts_of(name: str) -> float | None:
    """Return the watts of one of a column's unit; None where its name has no unit.

    Raises:
        ValueError: its unit is none of power, or may be milliwatts as well as megawatts.
    """
    unit_match = _UNIT.search(name)
    if unit_match is not None:
        prefix = unit_match[1] or ""
        if prefix == "M" and name.isupper() and len(name) > len("MW"):
            raise ValueError(f"the unit of {name!r} may be mW or MW")
        return 1e6 if prefix == "M" else WATTS[prefix.lower()]
    bracket = _BRACKET.search(name)
    if (bracket is not None and bracket[1]) or _OTHER_UNIT.search(name):
        raise ValueError(f"the unit of {name!r} is not one of power that is known")
    return None


def seconds(text: str, zone: str | None, unit_s: float | None = None) -> float:
    """Read a time as seconds since 1970; ``zone`` is that of times that name none: ``local``, or an IANA name.

    A count is of ``unit_s``; where that is not known, its size says whether it is of seconds or of thousandths,
    millionths or billionths of them.

    Raises:
        ValueError: it is none, or names no zone where none is given.
    """
    text = text.strip()
    if _EPOCH.fullmatch(text):
        count = float(text.replace(",", "."))
        return count * (unit_s or next((part for least, part in _PARTS if abs(count) >= least), 1.0))
    at = _calendar(text)
    if at.year not in _YEARS:  # the system's calendar ends where a zone would leave the years 1 to 9999
        raise ValueError("its year is none of measurements")
    if at.tzinfo is not None or zone == "local":
        return at.timestamp()
    if zone is None:
        raise ValueError(
            "it names no zone: write +00:00, or Z, or seconds since 1970; or give the log's zone"
        )
    return at.replace(tzinfo=ZoneInfo(zone)).timestamp()


def checked_zone(zone: str | None) -> str | None:
    """Return the name of a time zone, ``local``, or None; anything else is a ValueError."""
    if zone not in (None, "local"):
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"{zone!r} is no time zone: local, UTC, or a name like Europe/Berlin") from error
    return zone


def _calendar(text: str) -> datetime:
    plain = _UTC.sub("", text)
    if plain != text:
        return _calendar(plain).replace(tzinfo=UTC)
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    if _WITHOUT_YEAR.fullmatch(text):
        return _nearest_year(text)
    text = re.sub(r"(:\d\d),(\d+)", r"\1.\2", text)
    for form in _TIMES:
        with suppress(ValueError):
            return datetime.strptime(text, form)
    return datetime.fromisoformat(text)


def _nearest_year(text: str) -> datetime:
    """Return the time nearest to now: ``ts`` of moreutils, and syslog, write no year."""
    now = datetime.now()
    form = "%Y %b %d %H:%M:%S" + (".%f" if "." in text else "")
    dates = []
    for year in (now.year - 1, now.year, now.year + 1):
        with suppress(ValueError):  # the 29th of February
            dates.append(datetime.strptime(f"{year} {text}", form))
    return min(dates, key=lambda at: abs(at - now))
