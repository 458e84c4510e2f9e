"""Read one field of people's logs: a number with its unit, a missing value, a time with or without its zone."""

from __future__ import annotations

import math
import re
from datetime import datetime
from zoneinfo import ZoneInfo

_EPOCH = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
_TIMES = ("%Y/%m/%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S", "%m-%d-%Y %H:%M:%S.%f", "%m-%d-%Y %H:%M:%S",
          "%a %b %d %H:%M:%S %Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%y %H:%M:%S")  # fmt: skip
_MISSING = frozenset(
    ("", "-", "--", "nan", "n/a", "na", "none", "null", "unavailable", "unknown", "not supported", "unknown error",
     "not available", "no data")
)  # fmt: skip
_NUMBER = re.compile(r"([-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)")
_UNIT = re.compile(r"(?:^|[\s_(\[./-])(k|m|kilo|milli|mega)?w(?:atts?)?(?=$|[\s)\]])", re.IGNORECASE)
_BRACKET = re.compile(r"[\[(]\s*([^\])]*?)\s*[\])]\s*$")
WATTS = {"": 1.0, "k": 1e3, "kilo": 1e3, "m": 1e-3, "milli": 1e-3, "mega": 1e6}


def is_missing(text: str) -> bool:
    """Say whether a log says here that it has no value."""
    return text.strip().strip("[]").strip().lower() in _MISSING


def figure(text: str) -> tuple[float, str]:
    """A finite number and the unit behind it, if any; a comma is decimal, or groups where a point follows it.

    Raises:
        ValueError: it is none.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no number")
    digits = match[1]
    if "," in digits:
        last = max(digits.rfind(","), digits.rfind("."))
        whole, part = digits[:last], digits[last + 1 :]
        digits = re.sub(r"[.,]", "", whole) + "." + part
    value = float(digits)
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
    if bracket is not None and bracket[1]:
        raise ValueError(f"the unit of {name!r} is not one of power that is known")
    return None


def seconds(text: str, zone: str | None) -> float:
    """A time as seconds since 1970; ``zone`` is that of times that name none: ``local``, or an IANA name.

    Raises:
        ValueError: it is none, or names no zone where none is given.
    """
    text = text.strip()
    if _EPOCH.fullmatch(text):
        return float(text)
    at = _calendar(text)
    if at.tzinfo is not None or zone == "local":
        return at.timestamp()
    if zone is None:
        raise ValueError(
            "it names no zone: write +00:00, or Z, or seconds since 1970; or give the log's zone"
        )
    return at.replace(tzinfo=ZoneInfo(zone)).timestamp()


def _calendar(text: str) -> datetime:
    for form in _TIMES:
        for ending in ("", " UTC"):
            try:
                at = datetime.strptime(text, form + ending)
            except ValueError:
                continue
            return at.replace(tzinfo=ZoneInfo("UTC")) if ending else at
    return datetime.fromisoformat(text)
