"""Read a recording as a table: a CSV file whose first line names its columns, as Azure and BurstGPT publish theirs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from configs.files.instants import NS_PER_S, UNITS, Instants
from configs.recordings.numbers import tokens_of
from configs.recordings.recording import Lengths, RequestLine
from starwatt_errors import UsageError

_TIMES = {"seconds": NS_PER_S} | {
    f"{name}{unit}": ns
    for unit, ns in {"": NS_PER_S, **UNITS}.items()
    for name in ("timestamp", "time", "arrivaltime", "arrivedat")
}
_PROMPTS = (
    "contexttokens",
    "requesttokens",
    "prompttokens",
    "inputtokens",
    "inputlength",
    "numprefilltokens",
)
_OUTPUTS = ("generatedtokens", "responsetokens", "outputtokens", "outputlength", "numdecodetokens")
_LONGEST = 40


class TableColumns(NamedTuple):
    """Say where in a row the three stand, and what a time's number counts."""

    time: int
    prompt: int
    output: int
    unit_ns: int
    names: tuple[str, ...]


def columns_of(text: str) -> TableColumns | None:
    """Find the columns by the table's first line; None where it does not name all three."""
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    try:
        names = next(iter(csv.reader([first])), [])
    except csv.Error:
        return None
    plain = [re.sub(r"[^a-z]", "", name.casefold().replace("\u03bc", "u")) for name in names]
    places = [
        next((plain.index(name) for name in known if name in plain), None)
        for known in (tuple(_TIMES), _PROMPTS, _OUTPUTS)
    ]
    if None in places:
        return None
    time, prompt, output = (place for place in places if place is not None)
    return TableColumns(time, prompt, output, _TIMES[plain[time]], tuple(name.strip() for name in names))


def lines_of_table(path: Path, text: str) -> list[RequestLine]:
    """Return every request of the table; empty lines and notes (lines that begin with #) are skipped.

    Raises:
        UsageError: a row has a time or a length that is none, with its line.
    """
    columns = columns_of(text)
    assert columns is not None  # noqa: S101 -- the caller has looked
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        return list(_lines(path, rows, columns))
    except csv.Error as error:
        raise UsageError(f"{path}:{rows.line_num}: is no line of a CSV file: {error}") from error


def _lines(path: Path, rows: Iterator[list[str]], columns: TableColumns) -> Iterator[RequestLine]:
    begun, last = False, max(columns[:3])
    times = Instants(columns.unit_ns, stated=columns.unit_ns != NS_PER_S)
    for row in rows:
        number: int = rows.line_num  # type: ignore[attr-defined]
        if not any(row) or row[0].startswith("#"):
            continue
        if not begun:  # the names
            begun = True
            continue
        if len(row) <= last:
            raise UsageError(f"{path}:{number}: has {len(row)} of the {len(columns.names)} columns")
        time_ns = times.ns(row[columns.time])
        if time_ns is None:
            raise UsageError(
                f"{path}:{number}: {columns.names[columns.time]}: takes a number or a date such as "
                f"2023-11-16 18:17:03.9799600, as all lines do (given: {row[columns.time][:_LONGEST]!r})"
            )
        prompt = tokens_of(row[columns.prompt], (path, number, columns.names[columns.prompt]))
        output = tokens_of(row[columns.output], (path, number, columns.names[columns.output]))
        yield RequestLine(number, time_ns, Lengths(prompt, output))
