"""Which of a run's own files are missing or cannot be read, and what is therefore not known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from analysis.runs.provenance import is_of_a_study, read_plan
from starwatt_errors import TraceError
from traces.attempts import read_attempts
from traces.layout import RunDir, is_there


def unread(
    run: RunDir, manifest: Mapping[str, object], problems: Mapping[Path, TraceError]
) -> tuple[str, ...]:
    """Return a sentence a file; a load test on its own and an imported run have no study, and cells alone need none
    of them.

    Args:
        run: whose plan and attempts are read.
        manifest: its manifest, empty where that could not be read.
        problems: what was wrong with its manifest and its study, which were read before.
    """
    without_study = not is_of_a_study(manifest) or run.manifest in problems
    return tuple(_sentences(run, {**problems, **dict(_problems_of(run))}, without_study))


def _problems_of(run: RunDir) -> Iterator[tuple[Path, TraceError]]:
    files: tuple[tuple[Path, Callable[[RunDir], object]], ...] = (
        (run.plan, read_plan),
        (run.attempts, read_attempts),
    )
    for path, read in files:
        try:
            read(run)
        except TraceError as error:
            yield path, error


def _sentences(run: RunDir, problems: Mapping[Path, TraceError], without_study: bool) -> Iterator[str]:
    studied, planned = is_there(run.study), is_there(run.plan)
    files = (
        (run.manifest, studied or planned, "what it says of sensors and tasks is not known"),
        (run.study, planned and not without_study, "the baseline is not known"),
        (run.plan, studied, "cells that were not measured are not known"),
        (run.attempts, False, "which tries failed is not known"),
    )
    for path, expected, unknown in files:
        if path in problems and (expected or is_there(path)):
            yield f"{problems[path]}; so {unknown}"
