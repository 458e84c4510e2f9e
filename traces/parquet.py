"""Reads Parquet files of a run: whatever is wrong with one is put in words of ours, and nothing of it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from starwatt_errors import TraceError
from traces.record import another_version
from traces.schemas import SCHEMA_VERSION

LARGEST = 1e15
"""No joule, watt or degree of a run comes near: sums of what is beyond would be infinite."""
_WORTH_THREADS = 1 << 20
"""Bytes of a file; handing a smaller one's columns to threads takes longer than reading them."""
_FARTHEST_NS = 1 << 61
"""73 years from a machine's start: differences of what is beyond do not fit into 64 bits."""


def load_parquet(path: Path) -> pa.Table:
    """Read all of a file, whatever its columns.

    Raises:
        TraceError: it is missing, is no file, cannot be read, or is no whole Parquet file.
    """
    if path.is_dir():
        raise TraceError(f"{path}: a folder is in its place")
    try:
        size = path.stat().st_size
        small = size <= _WORTH_THREADS
        with path.open("rb") as file, pq.ParquetFile(pa.py_buffer(file.read()) if small else file) as parquet:
            table = parquet.read(use_threads=not small)
        table.validate(full=True)  # text that is none would be noticed when somebody asks for it
    except FileNotFoundError as error:
        raise TraceError(f"{path}: is missing") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise why_unreadable(path, error) from error
    return table


def why_unreadable(path: Path, error: Exception) -> TraceError:
    """Put into words why a file cannot be read as Parquet."""
    if isinstance(error, OSError) and error.strerror:
        return TraceError(f"{path}: cannot be read: {error.strerror}")
    what = "it was cut off or changed" if path.stat().st_size else "it is empty"
    return TraceError(f"{path}: cannot be read as Parquet: {what}")


def checked(
    path: Path, table: pa.Table, schema: pa.Schema, later: Sequence[str] = (), *, largest: float = LARGEST
) -> pa.Table:
    """Return a table that came from ``path``, with the columns of ``schema``; ``later`` are null where it is older.

    Raises:
        TraceError: it is of another schema version, lacks a column, or holds what no writer of ours writes.
    """
    check_columns(path, table.schema, schema, later)
    return conformed(path, table, schema, later, largest=largest)


def check_columns(path: Path, in_file: pa.Schema, schema: pa.Schema, later: Sequence[str] = ()) -> None:
    """Raise TraceError where a file is of another schema version, or has not the columns of ``schema``, once each."""
    version = (in_file.metadata or {}).get(b"schema_version", b"none").decode(errors="replace")
    if version != str(SCHEMA_VERSION):
        raise TraceError(f"{path}: {another_version(version)}")
    missing = [name for name in schema.names if name not in in_file.names and name not in later]
    if missing:
        raise TraceError(f"{path}: lacks the columns {', '.join(missing)}")
    if len(set(in_file.names)) < len(in_file.names):
        raise TraceError(f"{path}: has a column twice")


def conformed(
    path: Path, table: pa.Table, schema: pa.Schema, later: Sequence[str] = (), *, largest: float = LARGEST
) -> pa.Table:
    """Give columns that came from ``path`` the types of ``schema``; those of ``later`` that it lacks are null.

    Raises:
        TraceError: it holds what no writer of ours writes.
    """
    for column in later:
        if column in schema.names and column not in table.schema.names:
            field = schema.field(column)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    for field in schema:
        place = table.schema.get_field_index(field.name)
        if table.schema.field(place).type != field.type:
            table = table.set_column(place, field, _cast(path, table.column(place), field))
        _check_bounds(path, table.column(place), field, largest)
    return table


def with_column(table: pa.Table, name: str, values: pa.ChunkedArray | pa.Array | list[Any]) -> pa.Table:
    """Replace what a column holds, not its type or its place."""
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    column = pa.array(values, type=field.type) if isinstance(values, list) else values
    return table.set_column(place, field, column)


def _cast(path: Path, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    try:
        return column.cast(field.type)
    except (pa.ArrowException, ValueError) as error:
        raise TraceError(f"{path}: column {field.name} takes {field.type}, not {column.type}") from error


def _check_bounds(path: Path, column: pa.ChunkedArray, field: pa.Field, largest: float) -> None:
    """NaN and infinity are left to those who read: a sensor may have said them."""
    import pyarrow.compute as pc  # a tenth of what a process imports that only writes traces

    values, kind = column, field.type
    if pa.types.is_list(kind):
        values, kind = pc.list_flatten(column), kind.value_type
    if pa.types.is_floating(kind):
        most = largest
    elif field.name.endswith("_ns"):
        most = _FARTHEST_NS
    else:
        return
    if not _beyond(values, most):
        return  # which most columns are told by one look
    if pa.types.is_floating(kind):
        values = values.filter(pc.is_finite(values))
    for value in _beyond(values, most):
        raise TraceError(f"{path}: column {field.name} holds {value:g}, which nothing of ours writes")


def _beyond(values: pa.ChunkedArray | pa.Array, most: float) -> list[float]:
    """Return the least and the largest value, where they are farther from zero than ``most``."""
    import pyarrow.compute as pc

    ends = pc.min_max(values).as_py().values()
    return [value for value in ends if value is not None and abs(value) > most]
