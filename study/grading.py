"""Grades the very completions that were measured, after the loads, never beside one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs
import pyarrow as pa
import pyarrow.compute as pc

from analysis.grading import Candidate, Grade, grade, sandbox_status
from configs.datasets import Dataset
from configs.loads import is_probe
from starwatt_errors import TraceError
from study.prompts import NO_TESTS
from traces.atomic import write_parquet
from traces.cell import read_cell
from traces.layout import CellKey, RunDir
from traces.schemas import GRADES
from traces.streams import has_trace, read_trace, stamped


def ungraded_cells(run: RunDir) -> list[CellKey]:
    """Finished cells without grades.

    But for probes, whose answers are cut off or run on, for random weights, and for prompts without tests.
    """
    return [
        key
        for key in run.finished_cells()
        if not is_probe(key.load)
        and not has_trace(run.cell(key), "grades")
        and not _not_for_grading(run.cell(key))
    ]


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
        cache_dir=verdict_cache(),
        on_progress=on_progress,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    for key, count in zip(cells, counts, strict=True):
        _write(run.cell(key), grades[:count])
        grades = grades[count:]
    return len(candidates)


def graded_rows(run: RunDir) -> list[dict[str, Any]]:
    """What ``grades.parquet`` of all finished cells says, each row with its cell and its ``sample``."""
    rows = []
    for key in run.finished_cells():
        folder = run.cell(key)
        if not has_trace(folder, "grades"):
            continue
        requests = read_trace(folder, "requests").select(["request_id", "sample"]).to_pylist()
        samples = {request["request_id"]: request["sample"] for request in requests}
        rows += [
            {**asdict(key), "sample": samples[row["request_id"]], **row}
            for row in read_trace(folder, "grades").to_pylist()
        ]
    return rows


def verdict_cache() -> Path:
    """Where verdicts are kept: an equal completion is run once, ever."""
    return platformdirs.user_cache_path("starwatt") / "verdicts"


def why_no_sandbox() -> str | None:
    """None where generated code can be run safely; otherwise why not, and the line that mends it."""
    status = sandbox_status()
    return None if status.ok else f"{status.reason}\n  {status.remedy}"


def _not_for_grading(folder: Path) -> bool:
    try:
        record = read_cell(folder)
    except TraceError:  # the analysis names it
        return False
    return record.served.random_weights or NO_TESTS in record.validity


def _candidates(folder: Path) -> list[Candidate]:
    """The whole answers to measured requests."""
    requests = read_trace(folder, "requests")
    wanted = pc.and_(pc.equal(requests["role"], "measured"), pc.equal(requests["status"], "ok"))
    rows = requests.filter(wanted).select(["request_id", "task_id", "completion"]).to_pylist()
    return [Candidate(**row) for row in rows]


def _write(folder: Path, grades: list[Grade]) -> None:
    columns = {field.name: [getattr(one, field.name) for one in grades] for field in GRADES}
    write_parquet(folder / "grades.parquet", pa.table(columns, schema=stamped(GRADES)))
