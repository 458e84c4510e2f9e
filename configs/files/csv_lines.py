"""Find the header of a table of text, whatever stands before it, and divide its lines by whatever separates them."""

from __future__ import annotations

import csv
import re

_FIGURE = re.compile(r"(?:^|[\t;,|])[\s\"+.-]*\d")
"""A field that begins as a number or a date does, and no name of a column."""


def is_before_a_header(line: str) -> bool:
    """Say whether a line is empty, a remark, or Excel's word on the separator."""
    remark = line.startswith("#") and split(line, separator_of(line)) == [line.strip()]
    return not line.strip() or remark or re.fullmatch(r"\W?sep=.\W?", line.strip()) is not None


def before_the_header(lines: list[str]) -> int:
    """Count the lines before a table's header; all of them where it has none.

    A line with # that divides into fields is a header where figures follow, else a remark with commas.
    """
    marked = None
    for number, line in enumerate(lines):
        if is_before_a_header(line):
            continue
        if not line.startswith("#"):
            return number if marked is None or not _FIGURE.search(line) else marked
        marked = number
    return len(lines) if marked is None else marked


def separator_of(header: str) -> str:
    """Return the first of tab, semicolon, comma and bar that a header has."""
    return next((mark for mark in "\t;,|" if mark in header), ",")


def split(text: str, separator: str) -> list[str]:
    """Return a line's fields; csv.Error where it is no CSV."""
    return [
        field.strip() for field in next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
    ]
