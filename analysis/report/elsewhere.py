"""A run that is only read: its tables are made in another place where it has none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.opened import OpenedRun, open_run
from traces.layout import RunDir


@contextmanager
def analysed(run: RunDir) -> Iterator[RunDir]:
    """Give the run with its tables and write nothing into it: where it has none, a temporary folder that looks like it.

    Raises:
        TraceError: the run has no cells.
    """
    if OpenedRun(run).is_analysed:
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="starwatt-report-") as folder:
        view = RunDir(Path(folder) / (run.root.resolve().name or "run"))
        view.root.mkdir()
        derived = {run.table("cells").parent.name, run.report.name, run.kept.name}
        for entry in run.root.resolve().iterdir():
            if entry.name not in derived:
                (view.root / entry.name).symlink_to(entry)
        open_run(view)
        yield view
