"""The files of one finished cell, each read once, however many ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from traces.cell import CellRecord, check_files, read_cell, sha256_of
from traces.pieces import InMemory, Trace, is_large, open_trace
from traces.streams import has_trace, read_trace


class CellFiles:
    """Read what was measured in a cell; what cannot be read raises as the functions do that read it."""

    def __init__(self, folder: Path, digests: Mapping[str, str] | None = None) -> None:
        """Read nothing yet; ``digests`` are those that are known already, by file name."""
        self.folder = folder
        self._tables: dict[str, pa.Table] = {}
        self._traces: dict[str, Trace] = {}
        self._digests = dict(digests or {})

    @cached_property
    def record(self) -> CellRecord:
        """Read ``cell.json`` (``traces.cell.read_cell``)."""
        return read_cell(self.folder)

    def has(self, name: str) -> bool:
        """Say whether ``read`` would find a trace, as ``traces.streams.has_trace`` does."""
        return name in self._tables or name in self._traces or has_trace(self.folder, name)

    def read(self, name: str) -> pa.Table:
        """Return a trace (``traces.streams.read_trace``)."""
        if name not in self._tables:
            self._tables[name] = read_trace(self.folder, name)
        return self._tables[name]

    def open(self, name: str) -> Trace:
        """Return a trace that may be large (``traces.pieces.open_trace``)."""
        if name not in self._traces:
            large = is_large(self.folder, name)
            self._traces[name] = open_trace(self.folder, name) if large else InMemory(self.read(name))
        return self._traces[name]

    def find(self, name: str) -> pa.Table | None:
        """Return a trace, or None where the cell has none of this name."""
        return self.read(name) if self.has(name) else None

    def digest(self, name: str) -> str:
        """Compute the SHA-256 of a file, by its name (``traces.cell.sha256_of``)."""
        if name not in self._digests:
            self._digests[name] = sha256_of(self.folder / name)
        return self._digests[name]

    def check(self) -> None:
        """Check that the traces are those with which the cell was finished (``traces.cell.check_files``)."""
        check_files(self.folder, self.record, lambda path: self.digest(path.name))
