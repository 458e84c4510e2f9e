"""Files that are there whole or not at all: a temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from starwatt_errors import TraceError


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Raise TraceError, which names ``path``, where the system refuses what the block writes to it."""
    try:
        yield
    except OSError as error:
        raise TraceError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends well, and vanishes if not.

    A link to a file stays, and its file is the one that is written.

    Raises:
        TraceError: the system refuses it, or ``path`` is a device, a pipe or a socket, whose place no file may take.
    """
    path = _place_of(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _place_of(path: Path) -> Path:
    with written(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:  # also a link to nothing, which is replaced
            return path
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise TraceError(
            f"{path}: cannot be written: takes a file, which a pipe, a socket or a device is not"
        )
    return path.resolve() if path.is_symlink() else path


def _sync_folder(folder: Path) -> None:
    """The name is on the disk too, not only what it names: a machine that loses power keeps what was finished."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_temporary(name: str) -> bool:
    """Say whether a file is called as ``atomic_path`` calls what is not finished."""
    return name.startswith(".") and name.endswith(".tmp")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as indented JSON, whole or not at all; NaN is refused (missing is null)."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read what ``write_json`` wrote.

    Raises:
        TraceError: the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also numbers of too many digits
        raise TraceError(f"{path}: is not valid JSON: {_what_is_wrong(error)}") from error


def _what_is_wrong(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"it was cut off or changed at line {error.lineno}" if error.doc.strip() else "it is empty"
    if isinstance(error, UnicodeDecodeError):
        return "it holds bytes that are no text"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "it holds too long a number"


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write ``table`` as zstd Parquet, whole or not at all."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_groups(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables one after the other, a row group each, as ``write_parquet`` writes one; each is let go then."""
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
