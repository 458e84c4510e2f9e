"""List the runs in a folder: what state each is in, and what it takes on the disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from starwatt_errors import TraceError
from traces.attempts import read_attempts
from traces.layout import RunDir
from traces.parquet import load_parquet


@dataclass(frozen=True)
class ListedRun:
    """One run."""

    path: Path
    planned: int | None
    """Cells of its plan; None: it has none (a load test), or it cannot be read."""
    measured: int
    failed: int
    """Cells that were tried and are missing."""
    running: bool
    size_bytes: int
    changed_s: float
    """When it was last measured, in seconds since 1970."""

    @property
    def state(self) -> str:
        """Say its state in words."""
        if self.planned is None:
            return "measured" if self.measured else "empty"
        count = f"{self.measured} of {self.planned} cells"
        if self.running:
            return f"being measured, {count}"
        if self.measured >= self.planned:
            return f"finished, {count}"
        return f"unfinished, {count}" + (f", {self.failed} failed" if self.failed else "")


def runs_in(folder: Path) -> Iterator[ListedRun]:
    """List the runs of a folder, the last measured first, without those that cannot be looked into.

    Those of a sweep, or of a search, lie a folder deeper.
    """
    return iter(sorted(_runs_in(folder, deeper=True), key=lambda run: -run.changed_s))


def _runs_in(folder: Path, *, deeper: bool) -> Iterator[ListedRun]:
    for path in _folders(folder):
        run = _listed(RunDir(path))
        if run is not None:
            yield run
        elif deeper:
            yield from _runs_in(path, deeper=False)


def _folders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and os.access(path, os.R_OK | os.X_OK):
            yield path


def _listed(run: RunDir) -> ListedRun | None:
    if not (run.manifest.is_file() or run.plan.is_file() or run.cells.is_dir()):
        return None
    measured = list(run.finished_cells())
    planned = _planned(run)
    try:
        missing = set(read_attempts(run)) - set(measured)
    except TraceError:
        missing = set()
    sizes, times = [], [run.root.stat().st_mtime]
    for place, _, files in os.walk(run.root):
        for name in files:
            status = (Path(place) / name).lstat()
            sizes.append(status.st_blocks * 512)
            if name in ("cell.json", run.manifest.name):
                times.append(status.st_mtime)
    return ListedRun(run.root, planned, len(measured), len(missing), _is_held(run), sum(sizes), max(times))


def _planned(run: RunDir) -> int | None:
    if not run.plan.is_file():
        return None
    try:
        return int(load_parquet(run.plan).num_rows)
    except TraceError:
        return None


def _is_held(run: RunDir) -> bool:
    """Say whether a runner has it, without disturbing one that is about to."""
    try:
        descriptor = os.open(run.lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
