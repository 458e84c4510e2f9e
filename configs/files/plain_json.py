"""JSON with no name twice, and with bounds on depth and digits.

Infinity and NaN, which only Python writes, are left to the models: they know in which field they stand.
"""

from __future__ import annotations

import json
from typing import Any

from configs.files.plain import NotPlainError, check_plain, too_deep, too_long


def parse_json(text: str, *, most_digits: int | None = None) -> Any:
    """The data of a JSON text; integers are as long as Python reads them (4300 digits) unless ``most_digits`` is less.

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


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise NotPlainError(f"{name} is there twice")
        content[name] = value
    return content
