"""Verdicts and expected outputs, kept by content: equal programs are graded once, ever."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa

from starwatt_errors import GradingError


def content_key(*parts: object) -> str:
    """A key over everything that a stored value depends on."""
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
            raise GradingError(f"cannot keep verdicts in {folder}: {error}") from error

    def get(self, key: str) -> Any | None:
        """The JSON value, or None."""
        kept = self.get_bytes(key)
        return None if kept is None else json.loads(kept)

    def put(self, key: str, value: Any) -> None:
        """Store it at once: what was graded before an interruption is not graded again."""
        self.put_bytes(key, json.dumps(value).encode())

    def get_bytes(self, key: str) -> bytes | None:
        """What was stored, or None."""
        rows = self._execute("SELECT value FROM kept WHERE key = ?", (key,))
        if not rows:
            return None
        try:
            size, packed = rows[0][0].split(b" ", 1)
            return bytes(pa.decompress(packed, decompressed_size=int(size), codec="lz4"))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise GradingError(f"the cache of verdicts is damaged ({error}): remove {self._where}") from error

    def put_bytes(self, key: str, value: bytes) -> None:
        """Store it at once, packed: the expected outputs of HumanEval+ are 299 MB."""
        packed = f"{len(value)} ".encode() + pa.compress(value, codec="lz4", asbytes=True)
        self._execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, packed))

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        try:
            with self._lock:
                return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise GradingError(f"the cache of verdicts is not usable ({error}): {self._where}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()
