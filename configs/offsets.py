"""A recorded arrival process: a CSV file with one column, seconds at which requests came."""

from __future__ import annotations

import math
from pathlib import Path

from starwatt_errors import UsageError


def read_offsets_ns(path: Path) -> list[int]:
    """Arrivals in nanoseconds after the first one, in the order of the file; the first is therefore 0.

    One number a line, in seconds, never falling; a heading and empty lines are skipped. Times of day (such as seconds
    since 1970) do as well as offsets, since they are counted from the first.

    Raises:
        UsageError: the file does not read, a line holds no such number, or fewer than two instants differ.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text: {error}") from error
    instants_s: list[float] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or (number == 1 and not _is_number(text)):
            continue
        if not _is_number(text):
            raise UsageError(f"{path}:{number}: takes one offset in seconds a line (given: {text[:40]!r})")
        if instants_s and float(text) < instants_s[-1]:
            raise UsageError(
                f"{path}:{number}: {text} comes before {instants_s[-1]:g}: offsets must not fall"
            )
        instants_s.append(float(text))
    if not instants_s or instants_s[-1] <= instants_s[0]:
        raise UsageError(f"{path}: takes at least two different offsets, in seconds, one a line")
    return [round((instant_s - instants_s[0]) * 1e9) for instant_s in instants_s]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
