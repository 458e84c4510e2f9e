"""Which of a run's own files are missing or cannot be read, and what is therefore not known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from analysis.runs.provenance import read_manifest, read_plan, read_study
from starwatt_errors import TraceError
from traces.attempts import read_attempts
from traces.layout import RunDir, is_there


def unread(run: RunDir) -> tuple[str, ...]:
    """Return a sentence a file; a load test on its own has no study, and cells alone need none of them."""
    return tuple(_sentences(run))


def _sentences(run: RunDir) -> Iterator[str]:
    studied, planned = is_there(run.study), is_there(run.plan)
    files: tuple[tuple[Path, bool, Callable[[RunDir], object], str], ...] = (
        (run.manifest, studied or planned, read_manifest, "what it says of sensors and tasks is not known"),
        (run.study, planned and not _of_one_load(run), read_study, "the baseline is not known"),
        (run.plan, studied, read_plan, "cells that were not measured are not known"),
        (run.attempts, False, read_attempts, "which tries failed is not known"),
    )
    for path, expected, read, unknown in files:
        if not (expected or is_there(path)):
            continue
        try:
            read(run)
        except TraceError as error:
            yield f"{error}; so {unknown}"


def _of_one_load(run: RunDir) -> bool:
    """Whether there is no study to miss, as far as is known."""
    try:
        return "endpoint" in read_manifest(run)
    except TraceError:
        return True
