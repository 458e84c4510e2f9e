"""Read requests as plain CSV: ``start,first_token,end,prompt_tokens,output_tokens``, times of the calendar.

``due``, ``status`` and ``error`` may stand beside them; other columns are left alone.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from configs.files.csv_lines import before_the_header, separator_of
from configs.files.values import is_missing, seconds
from starwatt_errors import UsageError
from study.imported.requests import LATEST_S, ImportedLoad, Request, nanoseconds
from traces.schemas import STATUSES

TOOL = "a CSV file"
_MOST_DIGITS = 9  # of a number of tokens
COLUMNS = ("start", "first_token", "end", "prompt_tokens", "output_tokens")
TAKEN = (*COLUMNS, "due", "status", "error")


def csv_load(text: str, path: Path, zone: str | None) -> ImportedLoad:
    """Return the load of a CSV file; ``zone`` is that of times that name none.

    Raises:
        UsageError: it lacks start or end, or a field is not understood.
    """
    lines = text.splitlines()
    before = before_the_header(lines)
    header = lines[before] if before < len(lines) else ""
    rows = csv.DictReader(lines[before:], delimiter=separator_of(header), skipinitialspace=True)
    names = [name.strip().lower() for name in rows.fieldnames or ()]
    rows.fieldnames = names
    twice = sorted({name for name in names if name in TAKEN and names.count(name) > 1})
    if twice:
        raise UsageError(f"{path}: has several columns {', '.join(twice)}: give each a name of its own")
    missing = [name for name in ("start", "end") if name not in names]
    if missing:
        raise UsageError(
            f"{path}: has no column {', '.join(missing)}: a CSV file of requests has {','.join(COLUMNS)} (times in "
            "seconds since 1970, or ISO 8601 with their zone), and may have due, status and error; nothing else that "
            "it could be was recognised either (vllm bench serve, GuideLLM, aiperf)"
        )
    try:
        requests = [_request(row, _Line(f"{path}, line {before + rows.line_num}", zone)) for row in rows]
    except csv.Error as error:
        raise UsageError(f"{path}, line {before + rows.line_num}: is no CSV: {error}") from error
    if not requests:
        raise UsageError(f"{path}: has a header and no requests")
    return ImportedLoad(TOOL, None, tuple(requests))


class _Line:
    """Read the fields of one line."""

    def __init__(self, where: str, zone: str | None) -> None:
        self._where, self._zone = where, zone

    def time_ns(self, row: Mapping[str, str | None], name: str) -> int | None:
        """Read a time; None where there is none."""
        text = row.get(name) or ""
        if is_missing(text):
            return None
        try:
            at_s = seconds(text, self._zone)
        except ValueError as error:
            raise self.wrong(f"{name} {text!r} is no time: {error}") from None
        if not 0 <= at_s <= LATEST_S:
            raise self.wrong(
                f"{name} {text!r} is no time: it takes seconds since 1970, or milli-, micro- or nanoseconds"
            )
        return nanoseconds(at_s)

    def count(self, row: Mapping[str, str | None], name: str) -> int | None:
        """Read a number of tokens; None where there is none."""
        text = (row.get(name) or "").strip().removesuffix(".0")  # as pandas writes where another row has none
        if is_missing(text):
            return None
        if not text.isdecimal() or len(text) > _MOST_DIGITS:
            raise self.wrong(f"{name} {text!r} is no number of tokens")
        return int(text)

    def wrong(self, why: str) -> UsageError:
        """Return the error that names the line."""
        return UsageError(f"{self._where}: {why}")


def _request(row: Mapping[str, str | None], line: _Line) -> Request:
    if None in row or None in row.values():
        raise line.wrong("has another number of columns than the header")
    sent_ns, end_ns = line.time_ns(row, "start"), line.time_ns(row, "end")
    status = (row.get("status") or "").strip().lower() or ("ok" if end_ns is not None else "failed")
    if status not in STATUSES:
        raise line.wrong(f"status {status!r} is none of {', '.join(STATUSES)}")
    if sent_ns is None or (end_ns is None and status == "ok"):
        raise line.wrong("start and end are needed of a request that is ok")
    return Request(
        status,
        due_ns=line.time_ns(row, "due"),
        sent_ns=sent_ns,
        first_token_ns=line.time_ns(row, "first_token"),
        end_ns=end_ns,
        prompt_tokens=line.count(row, "prompt_tokens"),
        output_tokens=line.count(row, "output_tokens"),
        error=(row.get("error") or "").strip() or None,
    )
