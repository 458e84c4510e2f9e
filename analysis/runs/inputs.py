"""Compute what tables were made from: a digest over a run's files, by which tables that are out of date are told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from traces.layout import RunDir

KEY = "inputs"
"""In the metadata of ``tables/cells``."""
# Bytes at a file's end: Parquet has there where everything lies, and the range of every column.
_LOOKED_AT = 1 << 16
_READ = (".json", ".jsonl", ".parquet", ".arrows")


def inputs_of(run: RunDir) -> str:
    """Changes with any file that analysis reads: by its place, its size, and its last 64 KiB.

    What cannot be read counts as such: analysis says why where it needs it.
    """
    digest = hashlib.sha256()
    for path in _inputs(run):
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _LOOKED_AT))
                digest.update(f"{path.relative_to(run.root)}\0{size}\0".encode())
                digest.update(hashlib.sha256(file.read()).digest())
        except OSError as error:
            digest.update(f"{path.relative_to(run.root)}\0{error.strerror}\0".encode())
    return digest.hexdigest()


def _inputs(run: RunDir) -> Iterator[Path]:
    """List them in a fixed order; a run's ``alone/`` is one too."""
    for part in (run, RunDir(run.alone)):
        yield from (path for path in (part.study, part.manifest, part.plan, part.attempts) if path.is_file())
        traces = part.cells.rglob("*")
        yield from sorted(path for path in traces if path.suffix in _READ and path.is_file())
