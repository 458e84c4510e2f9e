"""Traces that survive a kill: Arrow IPC streams flushed every second, Parquet once they are complete.

Parquet's footer is at its end, so a file cut off cannot be read; an Arrow stream does, up to the cut. Rows are
therefore appended to ``<name>.arrows`` and become ``<name>.parquet`` when the cell ends. Readers take either.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from starwatt_errors import TraceError
from traces.atomic import write_groups, written
from traces.clock import ClockPair, boot_id, now_ns
from traces.layout import is_there
from traces.parquet import checked, load_parquet
from traces.record import REMEDIES, REMEDY_OF_A_CELL
from traces.schemas import LATER_COLUMNS, SCHEMA_VERSION, TRACES

FLUSH_NS = 1_000_000_000
GROUP_ROWS, _GROUP_BYTES = 1 << 16, 32 << 20
"""A row group of a trace ends with the batch that reaches either: both who writes and who reads holds one at a time."""
_MOST_ROWS = 64  # converted at once: more would hold up an event loop that times requests


def stamped(schema: pa.Schema) -> pa.Schema:
    """Return ``schema`` with what every file carries: schema version, boot id, and a (monotonic, realtime) pair."""
    pair = ClockPair.now()
    return schema.with_metadata(
        {
            "schema_version": str(SCHEMA_VERSION),
            "boot_id": boot_id(),
            "monotonic_ns": str(pair.monotonic_ns),
            "realtime_ns": str(pair.realtime_ns),
        }
    )


class TraceWriter(AbstractContextManager["TraceWriter"]):
    """Appends rows to ``<folder>/<name>.arrows``; ``close`` turns them into ``<name>.parquet``.

    Rows are dictionaries of the trace's columns; a column left out is null. Not thread-safe.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._stream_path = folder / f"{name}.arrows"
        self._final_path = folder / f"{name}.parquet"
        self._schema = stamped(TRACES[name])
        self._rows: list[Mapping[str, Any]] = []
        with written(self._stream_path):
            folder.mkdir(parents=True, exist_ok=True)
            # What an earlier try left must not stand beside this one.
            self._final_path.unlink(missing_ok=True)
            self._file = self._stream_path.open("wb")
        self._stream = pa.ipc.new_stream(self._file, self._schema)
        # pyarrow's first conversion takes long, as it looks for pandas: not while requests are timed.
        self._batch([{}])
        self._flushed_ns = now_ns()

    def append(self, row: Mapping[str, Any]) -> None:
        """Keep one row; within a second what was kept goes to the file."""
        self._rows.append(row)
        if len(self._rows) >= _MOST_ROWS:
            self.flush()
        else:
            self.flush_if_due()

    def flush_if_due(self) -> None:
        """Flush what has waited for a second; for writers whose rows come in bursts, between these."""
        if now_ns() - self._flushed_ns >= FLUSH_NS:
            self.flush()

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append several rows."""
        for row in rows:
            self.append(row)

    def flush(self) -> None:
        """Hand all kept rows to the operating system: a kill of this process no longer loses them."""
        self._flushed_ns = now_ns()
        if not self._rows:
            return
        batch, self._rows = self._batch(self._rows), []
        with written(self._stream_path):
            self._stream.write_batch(batch)
            self._file.flush()

    def _batch(self, rows: list[Mapping[str, Any]]) -> pa.RecordBatch:
        columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in self._schema]
        return pa.record_batch(columns, schema=self._schema)

    def close(self) -> None:
        """End the stream and put the complete Parquet file in its place."""
        if self._file.closed:
            return
        self.flush()
        with written(self._stream_path):
            self._stream.close()
            os.fsync(self._file.fileno())
            self._file.close()
        schema, batches = _batches(self._stream_path)
        write_groups(self._final_path, schema, in_groups(batches))
        self._stream_path.unlink()

    def __exit__(self, *_: object) -> None:
        self.close()


def read_trace(folder: Path, name: str) -> pa.Table:
    """Read the trace ``name`` of a cell: Parquet, or the whole batches of a stream that was cut off.

    Raises:
        TraceError: neither exists, it cannot be read, or it is of another schema; the message has the remedy.
    """
    final, stream = folder / f"{name}.parquet", folder / f"{name}.arrows"
    path = next((candidate for candidate in (final, stream) if is_there(candidate)), None)
    if path is None:
        raise TraceError(f"{folder}: has neither {final.name} nor {stream.name}")
    try:
        table = load_parquet(path) if path == final else _read_stream(path)
        return checked(path, table, TRACES[name], LATER_COLUMNS.get(name, ()))
    except TraceError as error:
        raise TraceError(f"{error}; {REMEDIES.get(name, REMEDY_OF_A_CELL)}") from error


def has_trace(folder: Path, name: str) -> bool:
    """Say whether ``read_trace`` would find something, and be it a folder in the place of a file."""
    return is_there(folder / f"{name}.parquet") or is_there(folder / f"{name}.arrows")


def in_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put batches together, in their order, to tables that each make a row group."""
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        gathered.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(gathered)
            gathered, rows, size = [], 0, 0
    if gathered:
        yield pa.Table.from_batches(gathered)


def _read_stream(path: Path) -> pa.Table:
    """Read all whole batches of a stream; a torn last one is left out."""
    schema, batches = _batches(path)
    return pa.Table.from_batches(list(batches), schema=schema)


def _batches(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema of a stream, and its whole batches one after the other; a torn last one is left out."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        reader = pa.ipc.open_stream(file)
    except (pa.ArrowException, OSError) as error:
        file.close()
        raise TraceError(f"{path}: was cut off before its schema was written") from error
    return reader.schema, _whole_batches(file, reader)


def _whole_batches(file: BinaryIO, reader: pa.ipc.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
    with file:
        while True:
            try:
                yield reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowException, OSError):  # torn: the writer was killed in the middle of this batch
                return
