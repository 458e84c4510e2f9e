"""JSON as its standard has it: no name twice, no NaN and no Infinity, and bounds on depth and digits."""

from __future__ import annotations

import json
from typing import Any

from configs.plain import MOST_DIGITS, NotPlainError, check_plain, too_deep, too_long


def parse_json(text: str) -> Any:
    """The data of a JSON text: finite numbers, and integers as long as Python reads them (4300 digits).

    Raises:
        NotPlainError: it is no JSON, or holds what is not taken.
    """
    data = _parsed(text)
    check_plain(data, finite=True)
    return data


def parse_json_config(text: str) -> Any:
    """The data of a configuration file. Infinities are left to the model, which knows in which field they stand.

    Raises:
        NotPlainError: it is no JSON, or holds what is not taken.
    """
    data = _parsed(text)
    check_plain(data, most_digits=MOST_DIGITS)
    return data


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise NotPlainError(f"is not valid JSON: {error.msg} (column {error.colno})", error.lineno) from error
    except RecursionError as error:
        raise too_deep() from error
    except ValueError as error:
        raise too_long() from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NotPlainError(f"{name} is there twice")
        found[name] = value
    return found
