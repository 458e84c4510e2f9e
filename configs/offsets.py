"""A recorded arrival process: a CSV file with one column, seconds at which requests came."""

from __future__ import annotations

import math
import re
from pathlib import Path

from configs.files.strict import LONGEST_S
from starwatt_errors import UsageError

TABLE = "a table of lengths too names its columns in its first line: TIMESTAMP,ContextTokens,GeneratedTokens"
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def offsets_of(path: Path, content: str) -> list[int]:
    """Return the arrivals in ``content``, which ``path`` holds, in nanoseconds after the first one, in their order.

    One number a line, in seconds, never falling; a heading, empty lines, and notes (lines that begin with #) are
    skipped. Times of day (such as seconds since 1970) do as well as offsets, since they are counted from the first.

    Raises:
        UsageError: a line holds no such number, fewer than two instants differ, or they span more than a week.
    """
    instants_s: list[float] = []
    rows = [
        (number, line.strip())
        for number, line in enumerate(content.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    for place, (number, text) in enumerate(rows):
        if not _is_number(text):
            if place == 0 and not text[:1].isdigit():
                continue  # a heading
            table = f"; {TABLE}" if "," in text else ""
            raise UsageError(
                f"{path}:{number}: takes one offset in seconds a line (given: {text[:40]!r}){table}"
            )
        if instants_s and float(text) < instants_s[-1]:
            raise UsageError(
                f"{path}:{number}: {text[:40]} comes before {instants_s[-1]:g}: offsets must not fall"
            )
        instants_s.append(float(text))
        if instants_s[-1] - instants_s[0] > LONGEST_S:
            raise UsageError(
                f"{path}:{number}: {text[:40]} is more than a week after the first ({instants_s[0]:g}): "
                "takes seconds, not milliseconds"
            )
    if not instants_s or instants_s[-1] <= instants_s[0]:
        raise UsageError(f"{path}: takes at least two different offsets, in seconds, one a line")
    return [round((instant_s - instants_s[0]) * 1e9) for instant_s in instants_s]


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))
