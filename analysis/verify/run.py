"""``starwatt verify``: everything that makes a run trustworthy, computed from its raw files again.

Nothing that the runner wrote is taken over: windows, counts, reason codes and tables are made anew and set beside what
is there. A run whose raw traces were all changed in keeping with each other can't be told from a real one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from analysis.accuracy.grades import GRADED_BY, completed
from analysis.report import page_of
from analysis.requests.columns import read_columns
from analysis.requests.window import measured_window
from analysis.runs.identity import misplaced_cells
from analysis.tables import Tables, compute, older_graders, read_table
from analysis.validity.reasons import UNGRADABLE, in_words
from analysis.verify.finding import Finding
from analysis.verify.provenance import Provenance, check_provenance, imported_remarks
from analysis.verify.search import search_findings
from configs.loads import is_probe
from starwatt_errors import TraceError, reason_of
from traces.cell import CellRecord, read_record
from traces.layout import CellKey, RunDir, is_there, model_slug
from traces.pieces import open_trace
from traces.streams import has_trace, read_trace

_COMPARED = ("request_id", "task_id", "role", "status")
WINDOW_SLACK_NS = 50_000_000  # the runner sees an end when its own loop does

ROUNDING = 1e-9
"""What another processor may add in another order: sums of one run differed by 1e-15 of themselves between machines."""


@dataclass(frozen=True)
class Verification:
    """Hold what was looked at, and what was found."""

    cells: int
    requests: int
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    """What cannot be checked of a run, and speaks against nothing of it."""

    @property
    def ok(self) -> bool:
        """Tell whether nothing was found."""
        return not self.findings


def verify(run: RunDir, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Recompute ``run`` and compare.

    Raises:
        TraceError: there is not a single cell, planned or finished.
    """
    computed, provenance = compute(run, progress), check_provenance(run)
    findings = [
        *provenance.findings,
        *_invalid_cells(computed),
        *(finding for key in run.finished_cells() for finding in _cell(run, key, provenance)),
        *_alone(RunDir(run.alone), provenance),
        *(finding for name in computed.tables for finding in _table(run, name, computed.tables[name])),
        *_in_short(run, computed.in_short),
        *_superfluous(run, computed),
        *_report(run),
    ]
    remarks = (*older_graders(computed.tables["cells"]), *imported_remarks(run))
    return Verification(computed.summary.cells, computed.summary.requests, tuple(findings), remarks)


def _invalid_cells(computed: Tables) -> Iterator[Finding]:
    """Cells whose joules the report shows or leaves out, and shouldn't be believed."""
    for cell in computed.summary.invalid:
        for code in cell.reasons:
            kind = code if code in ("not_measured", "trace_damaged") else "invalid_cell"
            problem = cell.problem if code == "trace_damaged" else None
            yield Finding(kind, str(cell.key), in_words(code, problem))


def _alone(alone: RunDir, provenance: Provenance) -> Iterator[Finding]:
    """Check the cells that were measured again with nobody beside them."""
    for key, problem in misplaced_cells(alone).items():
        yield Finding("trace_damaged", f"alone: {key}", problem)
    for key in alone.finished_cells():
        yield from _cell(alone, key, replace(provenance, of_a_study=False))  # it is not graded


def _cell(run: RunDir, key: CellKey, provenance: Provenance) -> Iterator[Finding]:
    """Compare what ``cell.json`` and ``grades`` say with the requests themselves."""
    folder = run.cell(key)
    try:
        record, trace = read_record(folder), open_trace(folder, "requests")
        requests, table = read_columns(trace), trace.read(_COMPARED)
        graded = read_trace(folder, "grades") if has_trace(folder, "grades") else None
    except TraceError:
        return  # named already: trace_damaged
    differs = partial(Finding, "record_differs", str(key))
    for name, said, is_so in _said(record, key, table):
        if said != is_so:
            yield differs(f"cell.json says {name} {said}, the traces say {is_so}")
    window, written = measured_window(requests), record.phases.window
    if window is not None and written is not None:
        off_ns = max(abs(window.start_ns - written.start_ns), abs(window.end_ns - written.end_ns))
        if off_ns > WINDOW_SLACK_NS:
            yield differs(f"cell.json's window is {off_ns / 1e6:.0f} ms off that of its requests")
    identities = table.column("request_id")
    if pc.count_distinct(identities).as_py() != len(identities):
        yield differs("request_id is not unique in requests.parquet")
    yield from search_findings(key, folder, record)
    yield from _checkpoint(key, record, provenance)
    if is_probe(key.load):
        return
    if graded is not None:
        yield from _grades(key, table, graded, provenance)
    elif provenance.of_a_study and not _ungradable(record):
        yield Finding("not_graded", str(key), "has no grades.parquet; starwatt grade makes it")


def _ungradable(record: CellRecord) -> bool:
    """Tell whether the runner said why there are no verdicts, or nothing could be judged."""
    return record.served.random_weights or not {*UNGRADABLE, "sandbox_missing"}.isdisjoint(record.validity)


def _checkpoint(key: CellKey, record: CellRecord, provenance: Provenance) -> Iterator[Finding]:
    """See that the weights that served a cell are those that the manifest names."""
    models = (provenance.manifest or {}).get("models")
    said = record.served.checkpoint
    for name, about in models.items() if isinstance(models, dict) and said is not None else ():
        model, _, variant = name.rpartition(" · ")
        digest = about.get("digest") if isinstance(about, dict) else None
        if (model_slug(model), variant) == (key.model, key.variant) and digest != said:
            what = f"cell.json says checkpoint {said}, manifest.json {digest}"
            yield Finding("record_differs", str(key), what)


def _said(record: CellRecord, key: CellKey, table: pa.Table) -> Iterator[tuple[str, Any, Any]]:
    """(what, as written, as the traces have it)."""
    place = (record.model, record.variant, record.load, record.block)
    yield "it is", place, (key.model, key.variant, key.load, key.block)
    boot = (table.schema.metadata or {}).get(b"boot_id", b"").decode()
    yield "boot_id", record.boot_id, boot or record.boot_id
    counted = pc.value_counts(table.column("status")).to_pylist()
    failed = {count["values"]: count["counts"] for count in counted if count["values"] != "ok"}
    yield "errors", {status: count for status, count in record.errors.items() if count}, failed


def _grades(key: CellKey, requests: pa.Table, grades: pa.Table, provenance: Provenance) -> Iterator[Finding]:
    """Look for whole answers to measured requests that are not graded once, under their task, by the run's data set."""
    differ = partial(Finding, "grades_differ", str(key))
    asked_of = ((provenance.manifest or {}).get("dataset") or {}).get("sha256")
    judged_by = (grades.schema.metadata or {}).get(GRADED_BY.encode(), b"").decode(errors="replace")
    if asked_of and judged_by and asked_of != judged_by:
        yield differ("was graded by the tests of another data set than manifest.json names")
    asked, judged = (
        list(zip(table["request_id"].to_pylist(), table["task_id"].to_pylist(), strict=True))
        for table in (completed(requests), grades)
    )
    odd = len(set(asked) ^ set(judged)) + len(judged) - len({number for number, _ in judged})
    if odd:
        yield differ(f"{odd} grades do not belong to the measured requests, or lack")


def _table(run: RunDir, name: str, truth: pa.Table) -> Iterator[Finding]:
    """Yield a table on disk that is not what the traces give."""
    where = str(run.table(name))
    try:
        there = read_table(run, name)
    except TraceError as error:
        yield Finding("table_differs", where, str(error).removeprefix(f"{where}: "))
        return
    yield from _differing_rows(where, there, truth)


def _in_short(run: RunDir, truth: pa.Table) -> Iterator[Finding]:
    """Yield a summary that is not what the tables give; runs that an earlier version analysed have none."""
    if not is_there(run.summary):
        return
    where = str(run.summary)
    convert = pacsv.ConvertOptions(
        column_types=truth.schema,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    try:
        there = pacsv.read_csv(run.summary, convert_options=convert)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Finding(
            "table_differs", where, f"cannot be read: {reason_of(error)}; starwatt analyze makes it again"
        )
        return
    if there.schema.names != truth.schema.names:
        yield Finding(
            "table_differs", where, "has other columns than a summary; starwatt analyze makes it again"
        )
        return
    yield from _differing_rows(where, there, truth)


def _differing_rows(where: str, there: pa.Table, truth: pa.Table) -> Iterator[Finding]:
    if there.num_rows != truth.num_rows:
        what = f"has {there.num_rows} rows, the traces give {truth.num_rows}"
        yield Finding("table_differs", where, what)
        return
    for column in truth.schema.names:
        rows = _rows_that_differ(there.column(column), truth.column(column))
        if rows.size:
            first = int(rows[0])
            named = _named({key: truth[key][first].as_py() for key in truth.schema.names})
            yield Finding(
                "table_differs",
                where,
                f"{column} differs in {rows.size} rows; the first ({named}) has {there[column][first].as_py()}, "
                f"the traces give {truth[column][first].as_py()}",
            )


def _superfluous(run: RunDir, computed: Tables) -> Iterator[Finding]:
    """Tables that the traces give nothing for."""
    for path in sorted((run.root / "tables").glob("*.parquet")):
        if path.stem not in computed.tables:
            yield Finding("table_differs", str(path), "is there, and the traces give no such table")


def _rows_that_differ(there: pa.ChunkedArray, truth: pa.ChunkedArray) -> np.ndarray:
    """Rows with another value: NaN and null alike in both, numbers but for what ``ROUNDING`` allows."""
    if there.combine_chunks().equals(truth.combine_chunks()):
        return np.zeros(0, dtype=np.int64)
    if pa.types.is_nested(truth.type):
        pairs = zip(there.to_pylist(), truth.to_pylist(), strict=True)
        return np.flatnonzero([left != right for left, right in pairs])
    if pa.types.is_floating(truth.type):
        return np.flatnonzero(~_close(there.to_numpy(), truth.to_numpy()))
    same = pc.fill_null(pc.equal(there, truth), False)
    both_null = pc.and_(pc.is_null(there, nan_is_null=True), pc.is_null(truth, nan_is_null=True))
    return np.flatnonzero(~pc.or_(same, both_null).to_numpy())


def _close(there: np.ndarray, truth: np.ndarray) -> np.ndarray:
    largest = np.abs(truth[np.isfinite(truth)]).max(initial=0.0)
    return np.isclose(there, truth, rtol=ROUNDING, atol=1e-3 * ROUNDING * largest, equal_nan=True)


def _named(row: Mapping[str, Any]) -> str:
    names = ("variant", "load", "block", "boundary", "metric", "request_id", "task_id")
    return ", ".join(str(row[name]) for name in names if row.get(name) is not None)


def _report(run: RunDir) -> Iterator[Finding]:
    """Yield a report that is not what tables and traces give."""
    if not run.report.is_file():
        yield Finding("report_differs", str(run.report), "is missing; starwatt report makes it")
        return
    try:
        same = _untitled(run.report.read_text(encoding="utf-8")) == _untitled(page_of(run))
    except UnicodeDecodeError:
        same = False
    except (TraceError, OSError, KeyError) as error:
        yield Finding("report_differs", str(run.report), f"cannot be compared: {reason_of(error)}")
        return
    if not same:
        yield Finding(
            "report_differs", str(run.report), "is not what the tables give; starwatt report makes it again"
        )


def _untitled(page: str) -> str:
    """Leave out the run's name: a folder may have been renamed."""
    return re.sub(r"<(title|h1)>.*?</\1>", "", page)
