"""Parse JSON with no name twice, and with bounds on depth and digits.

Infinity and NaN, which only Python writes, are left to the models: they know in which field they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from configs.files.plain import NotPlainError, check_plain, too_deep, too_long
from starwatt_errors import UsageError


def parse_json(text: str, *, most_digits: int | None = None) -> Any:
    """Parse a JSON text; integers are as long as Python reads them (4300 digits) unless ``most_digits`` is less.

    Raises:
        NotPlainError: it is no JSON, or holds what is not taken.
    """
    try:
        data = json.loads(text, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise NotPlainError(f"is not valid JSON: {error.msg} (column {error.colno})", error.lineno) from error
    except RecursionError as error:
        raise too_deep() from error
    except ValueError as error:
        raise too_long() from error
    check_plain(data, most_digits=most_digits)
    return data


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of JSON Lines with something in them, and their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):  # U+2028 and its like may stand in a string
        if line.strip():
            yield number, line


def json_object(where: str, line: str, what: str) -> dict[str, Any]:
    """Return the JSON object of a line.

    Raises:
        UsageError: it is none, behind ``where``; ``what`` says what it takes: a JSON object with a ``what``.
    """
    try:
        data = parse_json(line)
    except NotPlainError as error:
        raise UsageError(f"{where}: {error.words}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{where}: takes a JSON object with a {what}, not {type(data).__name__}")
    return data


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise NotPlainError(f"{name} is there twice")
        content[name] = value
    return content
