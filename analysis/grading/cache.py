"""Verdicts and expected outputs, kept by content: equal programs are graded once, ever."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import zlib
from pathlib import Path
from typing import Any

from starwatt_errors import GradingError


def content_key(*parts: object) -> str:
    """A key over everything that a stored value depends on."""
    return hashlib.sha256(json.dumps(parts, default=str).encode("utf-8", "surrogatepass")).hexdigest()


class Cache:
    """A table of packed JSON values in one SQLite file, or in memory alone. Any thread may use it."""

    def __init__(self, folder: Path | None) -> None:
        """Open or make ``grading.sqlite`` in the folder; raises ``GradingError`` if that cannot be."""
        self._lock = threading.Lock()
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            where = ":memory:" if folder is None else str(folder / "grading.sqlite")
            self._database = sqlite3.connect(where, timeout=60, check_same_thread=False, isolation_level=None)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
            )
        except (OSError, sqlite3.Error) as error:
            raise GradingError(f"cannot keep verdicts in {folder}: {error}") from error

    def get(self, key: str) -> Any | None:
        """The value, or None."""
        with self._lock:
            row = self._database.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(zlib.decompress(row[0]))

    def put(self, key: str, value: Any) -> None:
        """Store it at once: what was graded before an interruption is not graded again."""
        packed = zlib.compress(json.dumps(value).encode(), 1)  # the expected outputs of HumanEval+ are 290 MB
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, packed))

    def close(self) -> None:
        """Close the file."""
        self._database.close()
