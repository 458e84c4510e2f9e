"""Read a recorded arrival process: a CSV file with one column, seconds at which requests came."""

from __future__ import annotations

import math
import re
from pathlib import Path

from configs.files.csv_lines import is_before_a_header
from configs.files.instants import NS_PER_S, Instants, unit_ns_of
from configs.files.strict import LONGEST_S
from starwatt_errors import UsageError

TABLE = "a table of lengths too names its columns in its first line: TIMESTAMP,ContextTokens,GeneratedTokens"
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def offsets_of(path: Path, content: str) -> list[int]:
    """Return the arrivals in ``content``, which ``path`` holds, in nanoseconds after the first one, in their order.

    The first is therefore 0.

    One number or date a line, never falling, in seconds unless the heading ends in ms, us or ns; empty lines, and notes
    (lines that begin with #) are skipped. Counts since 1970 do as well as offsets, since they are counted from the
    first; without such a heading they tell by their size whether they are of seconds.

    Raises:
        UsageError: a line holds no such number, fewer than two instants differ, or they span more than a week.
    """
    instants_ns: list[int] = []
    times, rows = Instants(NS_PER_S), _rows(content)
    if rows and not _is_number(rows[0][1]) and not rows[0][1][:1].isdigit():
        unit_ns = unit_ns_of(rows.pop(0)[1])
        times = Instants(unit_ns, stated=unit_ns != NS_PER_S)
    for place, (number, text) in enumerate(rows):
        at_ns = times.ns(text)
        first_ns, last_ns = (instants_ns[0], instants_ns[-1]) if instants_ns else (at_ns, at_ns)
        if at_ns is None or first_ns is None or last_ns is None or at_ns - first_ns > LONGEST_S * NS_PER_S:
            raise UsageError(f"{path}:{number}: {_why_none(text, at_ns)}")
        if at_ns < last_ns:
            before = rows[place - 1][1]
            raise UsageError(
                f"{path}:{number}: {text[:40]} comes before {before[:40]}: offsets must not fall"
            )
        instants_ns.append(at_ns)
    if not instants_ns or instants_ns[-1] <= instants_ns[0]:
        raise UsageError(f"{path}: takes at least two different offsets, in seconds, one a line")
    return [instant_ns - instants_ns[0] for instant_ns in instants_ns]


def _rows(content: str) -> list[tuple[int, str]]:
    """Return the lines with something in them that are no notes, with their numbers."""
    numbered = enumerate(content.splitlines(), start=1)
    return [
        (number, line.strip())
        for number, line in numbered
        if not line.startswith("#") and not is_before_a_header(line)
    ]


def _why_none(text: str, at_ns: int | None) -> str:
    if at_ns is None and not _is_number(text):
        table = f"; {TABLE}" if re.search("[,;\t]", text) else ""
        return f"takes one offset in seconds a line (given: {text[:40]!r}){table}"
    return (
        f"{text[:40]} is more than a week after the first: takes seconds, not milliseconds unless the first line says "
        "so (time_ms)"
    )


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))
