"""Find run directories that are named on the command line."""

from __future__ import annotations

from pathlib import Path

from starwatt_errors import UsageError
from traces.layout import RunDir

_RUNS = Path("runs")
_MOST_SHOWN = 8


def existing(folder: Path) -> RunDir:
    """Return the run in ``folder``.

    Raises:
        UsageError: there is none; the message says which there are, or how one is made.
    """
    run = RunDir(folder)
    if not folder.is_dir():
        raise UsageError(f"there is no run directory {folder}{_what_there_is()}")
    if not (run.manifest.is_file() or run.plan.is_file() or run.cells.is_dir()):
        raise UsageError(
            f"{folder} holds no run: neither manifest.json, plan.parquet nor cells/{_what_there_is()}"
        )
    return run


def _what_there_is() -> str:
    """List the runs where they lie by default, newest first; else name the command that makes one."""
    manifests = sorted(_RUNS.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not manifests:
        return "; `starwatt run STUDY.yaml` makes one, under runs/"
    shown = ", ".join(str(path.parent) for path in manifests[:_MOST_SHOWN])
    more = f" and {len(manifests) - _MOST_SHOWN} more" if len(manifests) > _MOST_SHOWN else ""
    return f"; there are {shown}{more}"
