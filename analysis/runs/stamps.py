"""By what the files of a cell are known again: their bytes, and what the file system says of them meanwhile."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

READ = (".json", ".jsonl", ".parquet", ".arrows")
"""Endings of the files that analysis reads."""
# Bytes at a file's end: Parquet has there where everything lies, and the range of every column.
LOOKED_AT = 1 << 16
_SETTLED_NS = 2_000_000_000
"""A file that was changed less than this before it was read may change again without a sign: clocks of file systems
tick in milliseconds, and those of servers are seconds off."""


@dataclass(frozen=True)
class Stamp:
    """The bytes of a cell's files."""

    content: str  # digest of their names and of all their bytes
    state: str | None  # what ``state_of`` said; None: they were too new for it to tell a later change
    files: tuple[tuple[str, int, str, str], ...]  # name, size, SHA-256, SHA-256 of the last 64 KiB


def state_of(folder: Path) -> str | None:
    """Say in short what the file system tells of a cell's files: names, sizes, inodes, and when they were changed.

    Nobody can set the time of a file's last change (``ctime``), so that files of one state have one content. None
    where one is no regular file of this folder.
    """
    seen = _seen(folder)
    return None if seen is None else _state(seen)


def stamp_of(folder: Path) -> Stamp | None:
    """Read all of a cell's files; None where one is no regular file, or cannot be read."""
    now_ns, seen = time.time_ns(), _seen(folder)
    if seen is None:
        return None
    files = []
    for name, *_ in seen:
        try:
            with (folder / name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                whole = hashlib.file_digest(file, "sha256").hexdigest()
                tail = whole
                if size > LOOKED_AT:
                    end = os.pread(file.fileno(), LOOKED_AT, size - LOOKED_AT)
                    tail = hashlib.sha256(end).hexdigest()
        except OSError:
            return None
        files.append((name, size, whole, tail))
    content = hashlib.sha256(repr([(name, whole) for name, _, whole, _ in files]).encode()).hexdigest()
    settled = all(changed_ns + _SETTLED_NS < now_ns for *_, changed_ns, _ in seen)
    return Stamp(content, _state(seen) if settled else None, tuple(files))


def _seen(folder: Path) -> list[tuple[str, int, int, int, int]] | None:
    """Name, size, times of change of content and of anything, and inode, by name."""
    stamps = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.endswith(READ):
                    continue
                told = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(told.st_mode):
                    return None
                stamps.append((entry.name, told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino))
    except OSError:
        return None
    return sorted(stamps)


def _state(seen: list[tuple[str, int, int, int, int]]) -> str:
    return hashlib.sha256(repr(seen).encode()).hexdigest()
