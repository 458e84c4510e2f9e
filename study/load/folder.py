"""Take a folder for a load test: empty, or with nothing in it but loads of which no request was completed."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from starwatt_errors import TraceError, UsageError
from traces.layout import RunDir
from traces.pieces import open_trace

SUMMARY = "summary.json"
_OF_SEVERAL = ("sweep.json", "rate.json")
"""What lies beside load tests of which each has a folder of its own."""


def take(out: Path) -> None:
    """Empty a folder in which no request was completed: it holds nothing that a repetition could lose.

    Raises:
        UsageError: it holds something else.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"--out {out}: takes a folder, and a file is in its place")
    if not any(out.iterdir()):
        return
    if not _came_to_nothing(out):
        raise UsageError(f"--out {out} is not empty: take a new folder, so that nothing measured is lost")
    _remove(out.iterdir())


def _came_to_nothing(folder: Path) -> bool:
    """Say whether it is a load test, or several, without one completed request, and holds nothing else.

    Prompts of a person's own are something else: nobody can tell here whether they are kept elsewhere too.
    """
    if (folder / SUMMARY).is_file():
        run = RunDir(folder)
        own = {
            SUMMARY,
            run.manifest.name,
            run.plan.name,
            run.cells.name,
            run.table("cells").parent.name,
            run.report.name,
        }
        others = {path.name for path in folder.iterdir() if path.stem not in ("requests", "schedule")}
        return _completed(folder / SUMMARY) == 0 and others <= own
    tests = [path for path in folder.iterdir() if path.name not in _OF_SEVERAL]
    return bool(tests) and all(path.is_dir() and _came_to_nothing(path) for path in tests)


def _completed(summary: Path) -> int | None:
    try:
        completed = json.loads(summary.read_text(encoding="utf-8"))["metrics"]["completed_requests"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return completed if isinstance(completed, int) else None


@contextlib.contextmanager
def emptied_unless_requests_came(out: Path) -> Iterator[None]:
    """Empty the folder of a load that failed: it must not block its repetition."""
    was_there = out.exists()
    try:
        yield
    except BaseException:
        if not any(_rows(trace) for trace in out.rglob("requests.*")):
            _remove(list(out.iterdir()) if was_there else [out])
        raise


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        shutil.rmtree(path, ignore_errors=True)
        if path.is_file():
            path.unlink()


def _rows(trace: Path) -> int:
    try:
        return int(open_trace(trace.parent, "requests").read(["role"]).num_rows)
    except TraceError:  # cut off before its first row
        return 0
