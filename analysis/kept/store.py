"""The folder ``kept`` of a run: parts of its tables by the bytes of the cells that they were made from.

Whatever is wrong with it costs time and nothing else: a file counts only where it is a regular one of our own user,
is called by the SHA-256 of its bytes, and says that this very analysis made it, for a study and a manifest that say
the same of cells. What it holds of a cell counts only where the cell's files are those that it was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import stat
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy

import analysis
import configs
import traces
from analysis.cells.bearing import bearing_on_cells, digest_of
from analysis.cells.context import Context
from analysis.cells.parts import KEY, PARTS
from analysis.runs.stamps import stamp_of, state_of
from starwatt_errors import TraceError
from traces.atomic import atomic_path
from traces.layout import CellKey, RunDir

_NAME = re.compile(r"([0-9a-f]{64})\.arrow")
_TERMS = b"terms"
MOST_FILES = 8
"""Of one folder, before they are made one."""
MOST_REQUESTS = 1_000_000
"""Of a cell that is kept: of a larger one it is the file itself that takes the time, and not how many there are."""
_ROOMS = (analysis, configs, traces)
"""What ``analysis`` may import, itself among them (docs/design.md)."""


class Kept:
    """The results that are kept of one run, for its study and manifest as they are now."""

    def __init__(self, run: RunDir, context: Context) -> None:
        """Read nothing yet."""
        self._run = run
        self._terms = f"{analysis_version()} {digest_of(bearing_on_cells(context))}"
        self._files: list[Path] = []  # those that are ours and whole
        self._obsolete = False
        self.known = PARTS.empty_table()
        """Parts of the cells that were asked for."""

    def find(self, keys: Sequence[CellKey]) -> pa.Table:
        """Return what is known of finished cells (``PARTS``), in any order."""
        tables = [table for path in self._candidates() if (table := self._read(path)) is not None]
        kept = pa.concat_tables([PARTS.empty_table(), *tables])
        columns = (kept[name].to_pylist() for name in (*KEY, "content", "state"))
        places: dict[CellKey, list[tuple[int, str, str | None]]] = {}
        for place, (*of, content, state) in enumerate(zip(*columns, strict=True)):
            places.setdefault(CellKey(*of), []).append((place, content, state))
        chosen: list[int] = []
        states: list[str | None] = []
        for key in keys:
            if key in places and (held := self._holds(key, places[key])) is not None:
                chosen.append(held[0])
                states.append(held[1])
        self._obsolete |= 2 * len(chosen) < kept.num_rows
        at = np.array(chosen, dtype=np.int64)
        if not np.array_equal(at, np.arange(kept.num_rows)):
            kept = kept.take(pa.array(at))
        if self._obsolete:
            kept = kept.set_column(
                PARTS.get_field_index("state"), PARTS.field("state"), pa.array(states, pa.string())
            )
        self.known = kept
        return kept

    def keep(self, read: pa.Table) -> None:
        """Write what was read now beside what was known; where that cannot be written it is read again next time."""
        sizes = read["order"].combine_chunks().value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        whole = read["content"].is_valid().to_numpy() & ~read["damaged"].to_numpy() & (sizes <= MOST_REQUESTS)
        whole &= ~read["wrong_traces"].is_valid().to_numpy()  # which names the folder, and runs are moved
        new = read.filter(pa.array(whole))
        with contextlib.suppress(TraceError, OSError):
            if self._obsolete or len(self._files) >= MOST_FILES:
                self._write(pa.concat_tables([self.known, new]))
                for path in self._files:
                    path.unlink(missing_ok=True)
            elif new.num_rows:
                self._write(new)

    def _holds(
        self, key: CellKey, places: Sequence[tuple[int, str, str | None]]
    ) -> tuple[int, str | None] | None:
        """Find the place whose cell has the bytes that this one has; and its state, which may be another by now."""
        folder = self._run.cell(key)
        state = state_of(folder)
        for place, _, then in reversed(places):
            if state is not None and then == state:
                return place, then
        stamp = stamp_of(folder)
        for place, content, _ in reversed(places):
            if stamp is not None and content == stamp.content:
                self._obsolete = True  # the run was copied: the next one need not read it all
                return place, stamp.state
        return None

    def _candidates(self) -> Iterator[Path]:
        folder = self._run.kept
        if folder.is_symlink() or not folder.is_dir():
            return
        with contextlib.suppress(OSError):
            yield from sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))

    def _read(self, path: Path) -> pa.Table | None:
        """Read the file's rows; None where it is not to be trusted, or of another analysis."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            told = os.fstat(descriptor)
            if not stat.S_ISREG(told.st_mode) or told.st_uid != os.geteuid():
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                body = file.read()
        except OSError:
            return None
        finally:
            os.close(descriptor)
        self._files.append(path)
        table = _table(body) if hashlib.sha256(body).hexdigest() == path.stem else None
        said = (
            None if table is None else (table.schema.metadata or {}).get(_TERMS, b"").decode(errors="replace")
        )
        if table is None or said != self._terms:
            self._obsolete = True
            return None
        return table.replace_schema_metadata(None)

    def _write(self, table: pa.Table) -> None:
        if self._run.kept.is_symlink():
            return
        sink = pa.BufferOutputStream()
        schema = PARTS.with_metadata({_TERMS: self._terms.encode()})
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(sink, schema, options=options) as file:
            file.write_table(table.combine_chunks())
        body = sink.getvalue()
        path = self._run.kept / f"{hashlib.sha256(body).hexdigest()}.arrow"
        self._files = [older for older in self._files if older != path]
        with atomic_path(path) as temporary:
            temporary.write_bytes(body)


def _table(body: bytes) -> pa.Table | None:
    try:
        table = pa.ipc.open_file(pa.py_buffer(body)).read_all()
        table.validate()
    except (pa.ArrowException, OSError, ValueError):
        return None
    return table if table.schema.equals(PARTS) else None


@cache
def analysis_version() -> str:
    """Digest the sources of all rooms that analysis is made of, and name the libraries that it computes with."""
    digest = hashlib.sha256()
    libraries = (np.__version__, pd.__version__, pa.__version__, scipy.__version__)
    digest.update(repr((platform.python_version(), platform.machine(), *libraries)).encode())
    for room in _ROOMS:
        (folder,) = room.__path__
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
