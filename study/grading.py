"""Grade the very completions that were measured, after the loads, never beside one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs
import pyarrow as pa

from analysis.accuracy.grader import GRADED_IN, GRADER_VERSION, grader_of, is_older
from analysis.accuracy.grades import GRADED_BY, GRADED_REQUESTS, completed, read_grades
from analysis.grading import Candidate, Grade, grade, sandbox_status
from analysis.runs.identity import misplaced_cells
from configs.datasets import Dataset
from configs.loads import is_probe
from starwatt_errors import TraceError
from study.plan.prompts import MADE_UP, NO_TESTS, endpoint_of
from traces.atomic import write_parquet
from traces.cell import read_cell, sha256_of
from traces.cell_files import CellFiles
from traces.layout import CellKey, RunDir
from traces.pieces import open_trace, read_through
from traces.schemas import GRADES
from traces.streams import has_trace, stamped


def ungraded_cells(run: RunDir) -> list[CellKey]:
    """Return the finished cells without grades, or with those of an older grader.

    But for probes, whose answers are cut off or run on, for random weights, for prompts without tests, and for cells
    that are damaged: the analysis names these.
    """
    return [
        key
        for key in sound_cells(run)
        if not is_probe(key.load) and not _is_graded(run.cell(key)) and not _not_for_grading(run.cell(key))
    ]


def sound_cells(run: RunDir) -> list[CellKey]:
    """Return the finished cells that are what their folder says, and whose requests read."""
    damaged = damaged_cells(run)
    return [key for key in run.finished_cells() if key not in damaged]


def damaged_cells(run: RunDir) -> dict[CellKey, str]:
    """Return the other finished cells, and what is wrong with each."""
    damaged = misplaced_cells(run)
    for key in run.finished_cells():
        if key not in damaged:
            try:
                read_through(run.cell(key), "requests")
            except TraceError as error:
                damaged[key] = str(error)
    return damaged


def grade_cells(
    run: RunDir,
    dataset: Dataset,
    cells: list[CellKey],
    on_progress: Callable[[int, int], None],
    *,
    unsafe_no_sandbox: bool = False,
) -> int:
    """Write ``grades.parquet`` of ``cells``; returns how many completions were graded.

    All cells are graded in one go, so that an equal completion is run once.

    Raises:
        GradingError: the sandbox cannot be used here, or the grader failed.
    """
    candidates: list[Candidate] = []
    counts: list[int] = []
    for key in cells:
        of_cell = _candidates(run.cell(key))
        counts.append(len(of_cell))
        candidates += of_cell
    grades = grade(
        dataset,
        candidates,
        endpoint=endpoint_of(run),
        cache_dir=verdict_cache(),
        on_progress=on_progress,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    for key, count in zip(cells, counts, strict=True):
        _write(run.cell(key), grades[:count], dataset)
        grades = grades[count:]
    return len(candidates)


def graded_rows(run: RunDir) -> list[dict[str, Any]]:
    """Return what ``grades.parquet`` of all sound cells says, each row with its cell and its ``sample``.

    Raises:
        TraceError: grades cannot be read, or are of other requests than lie beside them.
    """
    rows = []
    for key in sound_cells(run):
        files = CellFiles(run.cell(key))
        if not files.has("grades"):
            continue
        requests = files.open("requests").read(["request_id", "sample"])
        samples = dict(zip(requests["request_id"].to_pylist(), requests["sample"].to_pylist(), strict=True))
        rows += [
            {**asdict(key), "sample": samples[row["request_id"]], **row}
            for row in read_grades(files).to_pylist()
            if row["request_id"] in samples
        ]
    return rows


def verdict_cache() -> Path:
    """Return where verdicts are kept: an equal completion is run once, ever."""
    return platformdirs.user_cache_path("starwatt") / "verdicts"


def why_no_sandbox() -> str | None:
    """Say why generated code cannot be run safely, and the line that mends it; None where it can."""
    status = sandbox_status()
    return None if status.ok else f"{status.reason}\n  {status.remedy}"


def _is_graded(folder: Path) -> bool:
    """Say whether verdicts are there, and are this grader's as far as they say; the analysis names what is damaged."""
    if not has_trace(folder, "grades"):
        return False
    try:
        return not is_older(grader_of(open_trace(folder, "grades").schema.metadata))
    except TraceError:
        return True


def _not_for_grading(folder: Path) -> bool:
    try:
        record = read_cell(folder)
    except TraceError:  # the analysis names it
        return False
    return record.served.random_weights or not {NO_TESTS, MADE_UP}.isdisjoint(record.validity)


def _candidates(folder: Path) -> list[Candidate]:
    """Return the whole answers to measured requests."""
    requests = open_trace(folder, "requests").read(["request_id", "task_id", "role", "status", "completion"])
    rows = completed(requests).select(["request_id", "task_id", "completion"])
    return [Candidate(**row) for row in rows.to_pylist()]


def _write(folder: Path, grades: list[Grade], dataset: Dataset) -> None:
    """Write a cell's grades, with what was graded, by which tests and by which grader."""
    columns = {field.name: [getattr(grade, field.name) for grade in grades] for field in GRADES}
    schema = stamped(GRADES)
    of = {
        GRADED_REQUESTS: sha256_of(folder / "requests.parquet"),
        GRADED_BY: dataset.sha256,
        GRADED_IN: str(GRADER_VERSION),
    }
    schema = schema.with_metadata({**schema.metadata, **of})
    write_parquet(folder / "grades.parquet", pa.table(columns, schema=schema))
