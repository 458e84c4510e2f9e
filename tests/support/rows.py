"""Rows of every trace, made up from its own schema."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def value(kind: pa.DataType, number: int) -> Any:
    """A value of an Arrow type that differs from row to row."""
    if pa.types.is_list(kind):
        return [value(kind.value_type, number + step) for step in range(number % 3)]
    if pa.types.is_boolean(kind):
        return number % 2 == 0
    if pa.types.is_integer(kind):
        return number
    if pa.types.is_floating(kind):
        return number / 7
    return f"row {number} – ü\n"


def rows(schema: pa.Schema, count: int) -> list[dict[str, Any]]:
    """``count`` rows in which every fifth value is null."""
    return [
        {
            field.name: None if (row + column) % 5 == 0 else value(field.type, row)
            for column, field in enumerate(schema)
        }
        for row in range(count)
    ]
