"""Rows of tables of figures in columns and back: quick where there are a million, of few sets of reasons."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import Ints
from analysis.cells.rows import Row
from traces.cycles import cycles_left_alone

_BETWEEN = "\x1f"
"""In no code of a reason."""


def reason_lists(reasons: Sequence[tuple[str, ...]]) -> pa.Array:
    """Make a column ``reasons``, each set of them written once and looked up."""
    places: dict[tuple[str, ...], int] = {}
    at = [places.setdefault(codes, len(places)) for codes in reasons]
    return _looked_up(list(places), np.array(at, dtype=np.int64))


def reasons_in(column: pa.ChunkedArray) -> tuple[list[tuple[str, ...]], Ints]:
    """Find the different sets of reasons in a column, and which of them each row has, (rows,)."""
    joined = pc.binary_join(column, _BETWEEN).combine_chunks().dictionary_encode()
    sets = [tuple(text.split(_BETWEEN)) if text else () for text in joined.dictionary.to_pylist()]
    return sets, joined.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def with_reason(table: pa.Table, rows: np.ndarray, code: str) -> pa.Table:
    """Make rows invalid for one more reason; ``rows`` is a mask (rows,)."""
    if not rows.any():
        return table
    sets, at = reasons_in(table["reasons"])
    more = [tuple(sorted({*codes, code})) for codes in sets]
    at = np.where(rows, at + len(sets), at)
    valid = table["valid"].to_numpy() & ~rows
    for name, column in (("reasons", _looked_up([*sets, *more], at)), ("valid", pa.array(valid))):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), column)
    return table


def rows_of(table: pa.Table, metrics: Collection[str] | None = None) -> list[Row]:
    """Give the rows of a table of figures, as ``to_pylist`` does in many times the time.

    Args:
        table: with columns ``metric`` and ``reasons``; of rows with the same reasons they are one list.
        metrics: those that are wanted; None: all.
    """
    if metrics is not None:
        table = table.filter(pc.is_in(table["metric"], pa.array(sorted(metrics), pa.string())))
    names = table.schema.names
    columns = [_values(table[name]) for name in names]
    with cycles_left_alone():
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_list(column.type):
        sets, at = reasons_in(column)
        lists = [list(codes) for codes in sets]
        return [lists[place] for place in at.tolist()]
    if pa.types.is_string(column.type):
        coded = column.combine_chunks().dictionary_encode()
        texts = [*coded.dictionary.to_pylist(), None]
        places = coded.indices.fill_null(len(texts) - 1).to_numpy().tolist()
        return [texts[place] for place in places]
    if pa.types.is_floating(column.type) and column.null_count:
        values = column.to_numpy().tolist()
        known = column.is_valid().to_numpy().tolist()
        return [value if is_known else None for value, is_known in zip(values, known, strict=True)]
    if column.null_count or pa.types.is_nested(column.type):
        return list(column.to_pylist())
    return list(column.to_numpy().tolist())


def _looked_up(sets: Sequence[tuple[str, ...]], at: Ints) -> pa.Array:
    return pa.array([list(codes) for codes in sets], pa.list_(pa.string())).take(pa.array(at))
