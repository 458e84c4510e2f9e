"""Compute what tables were made from: a digest over a run's files, by which tables that are out of date are told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from analysis.runs.stamps import LOOKED_AT, READ
from traces.layout import RunDir

KEY = "inputs"
"""In the metadata of ``tables/cells``."""
Tails = Mapping[str, tuple[int, str]]
"""By path from the run's folder: size, and SHA-256 of the last 64 KiB."""


def inputs_of(run: RunDir, known: Tails | None = None) -> str:
    """Digest every file that analysis reads: its place, its size, and its last 64 KiB.

    What cannot be read counts as such: analysis says why where it needs it.

    Args:
        run: whose files.
        known: of files that have been read already.
    """
    digest = hashlib.sha256()
    for name in _inputs(run):
        try:
            size, tail = (known or {}).get(name) or _read(run.root / name)
            digest.update(f"{name}\0{size}\0".encode())
            digest.update(bytes.fromhex(tail))
        except OSError as error:
            digest.update(f"{name}\0{error.strerror}\0".encode())
    return digest.hexdigest()


def _read(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOOKED_AT))
        return size, hashlib.sha256(file.read()).hexdigest()


def _inputs(run: RunDir) -> Iterator[str]:
    """List them by their path from the run's folder, in a fixed order; a run's ``alone/`` is one too."""
    for part in (run, RunDir(run.alone)):
        files = (path for path in (part.study, part.manifest, part.plan, part.attempts) if path.is_file())
        yield from (str(path.relative_to(run.root)) for path in files)
        place = part.cells.relative_to(run.root).parts
        yield from ("/".join(parts) for parts in sorted(_below(os.fspath(part.cells), place)))


def _below(folder: str, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Files that analysis reads, at any depth, as the parts of their paths; no link to a folder is followed."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, (*place, entry.name))
        elif entry.name.endswith(READ) and entry.is_file():
            yield (*place, entry.name)
