"""``starwatt runs``: what there is, what state it is in, and what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from starwatt_errors import StarwattError, UsageError
from study.cli.answers import print_json
from study.load.folder import SUMMARY
from study.load.summary import shown
from study.progress.display import tell
from study.records.listing import ListedRun, runs_in
from traces.layout import RunDir

if TYPE_CHECKING:
    from analysis.results.points import Results

_WIDTH = 200
"""Of a line, where it is no terminal's."""
_UNITS = ("B", "kB", "MB", "GB")


def list_runs(folder: Path, *, as_json: bool) -> None:
    """Print the runs in a folder, the last measured first.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; `starwatt run STUDY.yaml` makes runs, under runs/")
    runs = [(run, answer_of(RunDir(run.path))) for run in runs_in(folder)]
    if as_json:
        print_json([_record(run, answer) for run, answer in runs])
        return
    if not runs:
        tell(f"{folder} holds no run; `starwatt run STUDY.yaml` makes one")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("run", "state", "size", "answer"):
        table.add_column(title)
    for run, answer in runs:
        table.add_row(*map(Text, (str(run.path), run.state, size_words(run.size_bytes), answer or "–")))
    Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH).print(table)


def answer_of(run: RunDir) -> str | None:
    """Return the first sentence of what a run says; None where it says nothing.

    Where nothing is compared, that is what was completed, and the joules of the first variant and load.
    """
    from analysis.opened import OpenedRun
    from analysis.results.headline import headline_of
    from analysis.results.points import read_results

    if not all(run.table(name).is_file() for name in ("cells", "contrasts", "accuracy")):
        return _completed(run)
    try:
        results = read_results(OpenedRun(run))
        compared = next((line.text for line in headline_of(results)), None)
        return compared or ", ".join(filter(None, (_completed(run), _joules(results)))) or None
    except StarwattError as error:
        return f"its tables cannot be read: {error}"


def _completed(run: RunDir) -> str | None:
    """Return what a load test completed; None of other runs."""
    try:
        metrics = json.loads((run.root / SUMMARY).read_text(encoding="utf-8"))["metrics"]
        rate = metrics["request_rate"]
        at = "" if rate is None else f", {shown(rate)} requests/s"
        return f"{metrics['completed_requests']} of {metrics['measured_requests']} requests{at}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _joules(results: Results) -> str | None:
    """Return the joules of the first variant and load that has some."""
    from analysis.results.headline import ESTIMATED
    from analysis.results.sentences import significant

    for point in results.points:
        joules = point.mean("j_per_request")
        if joules is not None:
            note = f" ({ESTIMATED})" if results.estimated else ""
            return f"{point.variant} under {point.load}: {significant(joules)} J/request{note}"
    return None


def size_words(size_bytes: float) -> str:
    """Write a size such as ``12 MB``."""
    for unit in _UNITS[:-1]:
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} {_UNITS[-1]}"


def _record(run: ListedRun, answer: str | None) -> dict[str, object]:
    return {
        "run": str(run.path), "state": run.state, "planned": run.planned, "measured": run.measured,
        "failed": run.failed, "running": run.running, "bytes": run.size_bytes, "answer": answer,
    }  # fmt: skip
