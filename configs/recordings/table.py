"""Read a recording as a table: a CSV file whose first line names its columns, as Azure and BurstGPT publish theirs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from configs.files.csv_lines import before_the_header, separator_of, split
from configs.files.instants import NS_PER_S, Instants, titled
from configs.recordings.recording import Lengths, RequestLine, tokens_of
from starwatt_errors import UsageError

_TIMES = ("timestamp", "time", "arrivaltime", "arrivedat", "elapsed", "elapsedtime")
"""With a unit behind them or not; a unit may stand alone (``seconds``)."""
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
    before: int
    """Lines before the one that names the columns."""
    separator: str


def columns_of(text: str) -> TableColumns | None:
    """Find the columns by the table's first line; None where it does not name all three."""
    lines = text.splitlines()
    before = before_the_header(lines)
    first = lines[before] if before < len(lines) else ""
    separator = separator_of(first)
    try:
        names = split(first, separator)
    except csv.Error:
        return None
    titles = [titled(name) for name in names]
    places = _places(names, titles)
    if None in places:
        return None
    time, prompt, output = (place for place in places if place is not None)
    return TableColumns(time, prompt, output, titles[time][1] or NS_PER_S, tuple(names), before, separator)


def _places(names: Sequence[str], titles: Sequence[tuple[str, int | None]]) -> list[int | None]:
    """Find the columns of times, prompts and outputs by their names; None for what no column is named after."""
    plain = [re.sub(r"[^a-z]", "", name.casefold()) for name in names]
    times = ["" if unit_ns and not name else name or None for name, unit_ns in titles]
    return [
        next((titled_so.index(name) for name in known if name in titled_so), None)
        for titled_so, known in ((times, (*_TIMES, "")), (plain, _PROMPTS), (plain, _OUTPUTS))
    ]


def lines_of_table(path: Path, text: str) -> list[RequestLine]:
    """Return every request of the table; empty lines and notes (lines that begin with #) are skipped.

    Raises:
        UsageError: a row has a time or a length that is none, with its line.
    """
    columns = columns_of(text)
    assert columns is not None  # noqa: S101 -- the caller has looked
    rows = csv.reader(text.splitlines()[columns.before :], delimiter=columns.separator, strict=True)
    try:
        return list(_lines(path, rows, columns))
    except csv.Error as error:
        number = columns.before + rows.line_num
        raise UsageError(f"{path}:{number}: is no line of a CSV file: {error}") from error


def _lines(path: Path, rows: Iterator[list[str]], columns: TableColumns) -> Iterator[RequestLine]:
    last = max(columns[:3])
    decimal_point = columns.separator == ","
    times = Instants(columns.unit_ns, stated=columns.unit_ns != NS_PER_S)
    next(rows)  # the names
    for row in rows:
        number: int = columns.before + rows.line_num  # type: ignore[attr-defined]
        if not any(row) or row[0].startswith("#"):
            continue
        if len(row) <= last:
            raise UsageError(f"{path}:{number}: has {len(row)} of the {len(columns.names)} columns")
        time_ns = times.ns(row[columns.time] if decimal_point else row[columns.time].replace(",", "."))
        if time_ns is None:
            raise UsageError(
                f"{path}:{number}: {columns.names[columns.time]}: takes a number or a date such as "
                f"2023-11-16 18:17:03.9799600, as all lines do (given: {row[columns.time][:_LONGEST]!r})"
            )
        prompt = tokens_of(row[columns.prompt], (path, number, columns.names[columns.prompt]))
        output = tokens_of(row[columns.output], (path, number, columns.names[columns.output]))
        yield RequestLine(number, time_ns, Lengths(prompt, output))
