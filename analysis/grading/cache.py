"""Verdicts and expected outputs, kept by content and by what decides them: equal programs are graded once, ever."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import sqlite3
import threading
import zlib
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from analysis.accuracy.grader import GRADER_VERSION
from configs import prompt_format
from starwatt_errors import GradingError, reason_of
from traces.record import wrong_field

T = TypeVar("T")


def content_key(*parts: object) -> str:
    """Return a key over everything that a stored value depends on."""
    return hashlib.sha256(json.dumps(parts, default=str).encode("utf-8", "surrogatepass")).hexdigest()


class Cache:
    """A table of packed values in one SQLite file, or in memory alone. Any thread may use it."""

    def __init__(self, folder: Path | None) -> None:
        """Open or make ``grading.sqlite`` in the folder; raises ``GradingError`` if that cannot be."""
        self._lock = threading.Lock()
        self._where = ":memory:" if folder is None else str(folder / "grading.sqlite")
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                self._where, timeout=60, check_same_thread=False, isolation_level=None
            )
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
            )
        except (OSError, sqlite3.Error) as error:
            remedy = ""
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                remedy = f": {self._remedy}"
            raise GradingError(f"cannot keep verdicts in {folder}: {reason_of(error)}{remedy}") from error

    @property
    def _remedy(self) -> str:
        return f"remove {self._where}; what it kept is recomputed"

    def damaged(self, why: str) -> GradingError:
        """Make the error for a value that this version of the grader never stored."""
        return GradingError(f"the cache of verdicts is damaged ({why}): {self._remedy}")

    def get(self, key: str, form: TypeAdapter[T]) -> T | None:
        """Return what was stored, in this form, or None. Raises ``GradingError`` for a value of another form."""
        kept = self.get_bytes(key)
        try:
            return None if kept is None else form.validate_json(kept, strict=True)
        except ValidationError as error:
            raise self.damaged(f"an entry of another form: {wrong_field(error)}") from error

    def put(self, key: str, value: Any) -> None:
        """Store it at once: what was graded before an interruption is not graded again."""
        self.put_bytes(key, json.dumps(value).encode())

    def get_bytes(self, key: str) -> bytes | None:
        """Return what was stored, or None."""
        rows = self._execute("SELECT value FROM kept WHERE key = ?", (key,))
        if not rows:
            return None
        try:
            size, checksum, packed = rows[0][0].split(b" ", 2)
            value = bytes(pa.decompress(packed, decompressed_size=int(size), codec="lz4"))
        except (
            OSError,
            ValueError,
            TypeError,
            AttributeError,
            OverflowError,
            MemoryError,
            pa.ArrowException,
        ) as error:
            raise self.damaged(str(error)) from error
        if b"%d" % zlib.crc32(value) != checksum:  # a wrong expected output would make right programs fail
            raise self.damaged("an entry with another checksum")
        return value

    def put_bytes(self, key: str, value: bytes) -> None:
        """Store it at once, packed: the expected outputs of HumanEval+ are 299 MB."""
        packed = b"%d %d " % (len(value), zlib.crc32(value)) + pa.compress(value, codec="lz4", asbytes=True)
        self._execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, packed))

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        try:
            with self._lock:
                return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise GradingError(f"the cache of verdicts is not usable ({error}): {self._remedy}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()


@cache
def versions() -> dict[str, object]:
    """Name the grader, the Python and numpy that programs run on, and what sanitises them (None where missing).

    It is part of every key: it decides verdicts and expected outputs beside programs, data and limits.
    """
    return {
        "grader": GRADER_VERSION,
        "prompt_format": prompt_format.VERSION,
        "python": (platform.python_implementation(), platform.python_version(), platform.machine()),
        "numpy": np.__version__,
        "sanitiser": [_installed(name) for name in ("evalplus", "tree-sitter", "tree-sitter-python")],
    }


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
