"""A trace of any size, read piece by piece, so that the memory that it takes does not grow with its rows.

A cell of ten million requests has more than half a billion chunks. Who needs these looks at some thousand requests at
a time; who needs a value a request has these in columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from starwatt_errors import TraceError
from traces.parquet import check_columns, conformed, why_unreadable
from traces.record import REMEDIES, REMEDY_OF_A_CELL
from traces.schemas import LATER_COLUMNS, TRACES
from traces.streams import read_trace

SMALL = 4 << 20
"""Bytes of a file that is held in memory whole: it is read once, however many look at it."""
_PIECE = 16 << 20
"""Bytes that a piece of a larger one takes, about."""
_READ_AHEAD = 1 << 20
_MOST_ROWS = 1 << 16

_Thing = TypeVar("_Thing")


class Trace(Protocol):
    """The rows of one trace, in their order."""

    @property
    def schema(self) -> pa.Schema:
        """Return its columns, and what the file says of itself."""

    def pieces(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield all rows of some columns, some thousand at a time; as often as it is asked.

        Raises:
            TraceError: they cannot be read, or hold what no writer of ours writes.
        """

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read all rows of some columns at once; raises as ``pieces`` does."""


class InMemory:
    """A trace that is small, or was made in this process."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.schema = table.schema

    def pieces(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Give all rows in one piece."""
        yield self._table.select(names)

    def read(self, names: Sequence[str]) -> pa.Table:
        """Give some columns."""
        return self._table.select(names)


class OnDisk:
    """A Parquet file that is read anew by each who asks; it stays open, so that all see the same rows."""

    def __init__(self, path: Path, name: str) -> None:
        """Open it; raises TraceError, with the remedy, where it is no whole file, or of another schema."""
        self._path, self._name = path, name
        try:
            self._parquet = pq.ParquetFile(pa.OSFile(str(path)), buffer_size=_READ_AHEAD)
            in_file = self._parquet.schema_arrow
            check_columns(path, in_file, TRACES[name], LATER_COLUMNS.get(name, ()))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._with_remedy(why_unreadable(path, error)) from error
        except TraceError as error:
            raise self._with_remedy(error) from error
        self.schema = TRACES[name].with_metadata(in_file.metadata)
        self._there = frozenset(in_file.names)

    def pieces(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Read all rows of some columns; the next piece is on its way while one is looked at."""
        schema = pa.schema([self.schema.field(name) for name in names], self.schema.metadata)
        # Rows are counted by a column that is there.
        there = [name for name in names if name in self._there] or self._parquet.schema_arrow.names[:1]
        try:
            for batch in self._batches(there):
                table = pa.Table.from_batches([batch]).replace_schema_metadata(self.schema.metadata)
                table.validate(full=True)  # text that is none would be noticed when somebody asks for it
                later = LATER_COLUMNS.get(self._name, ())
                yield conformed(self._path, table, schema, later).select(names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._with_remedy(why_unreadable(self._path, error)) from error
        except TraceError as error:
            raise self._with_remedy(error) from error

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read some columns whole."""
        return pa.concat_tables(self.pieces(names)).combine_chunks()

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if not self._parquet.metadata.num_rows:
            fields = [self._parquet.schema_arrow.field(name) for name in names]
            return iter([pa.RecordBatch.from_pylist([], pa.schema(fields))])
        return _ahead(self._by_groups(list(names), self._rows(names)))

    def _by_groups(self, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """One row group after the other: a reader of several keeps what it made for each until it ends."""
        for group in range(self._parquet.metadata.num_row_groups):
            yield from self._parquet.iter_batches(rows, row_groups=[group], columns=names, use_threads=False)

    def _rows(self, names: Sequence[str]) -> int:
        """Return how many rows of these columns make a piece, where they take most."""
        most, wanted = 1.0, set(names)
        for number in range(self._parquet.metadata.num_row_groups):
            group = self._parquet.metadata.row_group(number)
            columns = (group.column(at) for at in range(group.num_columns))
            taken = sum(
                max(column.total_uncompressed_size, 8 * column.num_values)
                for column in columns
                if column.path_in_schema.partition(".")[0] in wanted
            )
            most = max(most, taken / max(group.num_rows, 1))
        return min(max(int(_PIECE / most), 1), _MOST_ROWS)

    def _with_remedy(self, error: TraceError) -> TraceError:
        return TraceError(f"{error}; {REMEDIES.get(self._name, REMEDY_OF_A_CELL)}")


def open_trace(folder: Path, name: str) -> Trace:
    """Open the trace ``name`` of a cell, as ``traces.streams.read_trace`` finds it; a large one is not held in memory.

    Raises:
        TraceError: as ``read_trace``.
    """
    return (
        OnDisk(folder / f"{name}.parquet", name)
        if is_large(folder, name)
        else InMemory(read_trace(folder, name))
    )


def is_large(folder: Path, name: str) -> bool:
    """Say whether a trace is too large to be held in memory whole."""
    path = folder / f"{name}.parquet"
    return path.is_file() and path.stat().st_size > SMALL


def read_through(folder: Path, name: str) -> None:
    """Read all of a trace and keep nothing of it; raises TraceError as ``read_trace`` would."""
    trace = open_trace(folder, name)
    for _ in trace.pieces(trace.schema.names):
        pass


def _ahead(things: Iterator[_Thing]) -> Iterator[_Thing]:
    """Take each from its source while the one before it is worked on."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, things, None)
        while (thing := coming.result()) is not None:
            coming = reader.submit(next, things, None)
            yield thing
