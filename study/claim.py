"""Whose a run directory is: one study's, and one runner's at a time."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.differences import changes
from configs.loader import dump_study, load_study
from configs.schema import Study
from starwatt_errors import RunError, UsageError
from traces.atomic import write_text
from traces.layout import RunDir

_MOST_SHOWN = 12


@contextmanager
def claimed(run: RunDir, study: Study, study_file: Path) -> Iterator[None]:
    """Hold a run directory for this study and this process; makes it where it is not there.

    The kernel gives the lock back when this process ends, however it ends.

    Raises:
        RunError: another runner holds it.
        UsageError: it belongs to another study, or holds something else.
    """
    if run.root.exists() and not run.study.is_file() and _holds_something_else(run):
        raise UsageError(f"{run.root} is not empty and holds no study; choose another folder with --out")
    run.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(run.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            raise RunError(
                f"{run.root} is being measured by {holder}: wait until it has ended, or end it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
        _same_study(run, study, study_file)
        yield
    finally:
        os.close(descriptor)


def _holds_something_else(run: RunDir) -> bool:
    return any(path != run.lock for path in run.root.iterdir())


def _same_study(run: RunDir, study: Study, study_file: Path) -> None:
    """Write ``study.yaml``, or check that the directory belongs to this very study."""
    if not run.study.is_file():
        write_text(run.study, dump_study(study))
        return
    there = load_study(run.study)
    if there == study:
        return
    changed = differences(there.model_dump(mode="json"), study.model_dump(mode="json"))
    shown = "\n".join(f"  {line}" for line in changed[:_MOST_SHOWN])
    more = f"\n  and {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else ""
    raise UsageError(
        f"{run.root} holds another study than {study_file}:\n{shown}{more}\n"
        "Cells of two studies can't be mixed: take the change back, give the study another name, "
        "or --out another folder."
    )


def differences(there: Any, here: Any) -> list[str]:
    """Fields in which two studies differ, one line each, as ``field: 3 there, 5 here``."""
    return [f"{one.field}: {one.words[0]} there, {one.words[1]} here" for one in changes(there, here)]
