"""``starwatt analyze``: the raw files of a run become its four tables, the same ones every time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from analysis.accuracy.completions import Answers
from analysis.accuracy.grader import GRADER_VERSION
from analysis.accuracy.verdicts import MADE_UP, accuracy_table
from analysis.cells.columns import rows_of
from analysis.cells.context import Context, read_context
from analysis.cells.parts import Parts
from analysis.cells.rows import Row
from analysis.cells.run_cells import Progress, cells_of_run
from analysis.cells.run_tables import RunTables
from analysis.cells.tabulate import InvalidCell
from analysis.contrasts.accuracy import accuracy_contrast_rows
from analysis.contrasts.drift import drift_rows, drifted_in
from analysis.contrasts.interference import METRICS as COMPARED
from analysis.contrasts.interference import neighbour_rows, windows_of
from analysis.contrasts.nodes import node_rows
from analysis.contrasts.paired_blocks import USED
from analysis.contrasts.ratios import contrast_rows
from analysis.kept.store import Kept
from analysis.runs.inputs import KEY, inputs_of
from analysis.runs.provenance import read_plan
from analysis.summary import SUMMARISED, summary_table
from analysis.table_files import MEMORISED, SCHEMAS, read_table
from analysis.validity.reasons import OLDER_GRADER
from configs.loads import is_probe
from starwatt_errors import TraceError
from traces.atomic import atomic_path, write_parquet
from traces.cycles import cycles_left_alone
from traces.layout import CellKey, RunDir, board_of
from traces.parquet import with_column
from traces.schemas import SCHEMA_VERSION

OPTIONAL = frozenset({"nodes", "neighbours"})
"""Tables that only some runs have."""
_BESIDE = frozenset({*COMPARED, "window_s"})
"""What engines beside each other are compared by: where a figure is missing, the cell's window says why."""
__all__ = ["AnalysisSummary", "Tables", "analyze", "compute", "older_graders", "read_table"]


@dataclass(frozen=True)
class AnalysisSummary:
    """Say what ``analyze`` did."""

    cells: int
    measured: int  # cells with a window
    invalid: tuple[InvalidCell, ...]
    requests: int  # measured requests tabulated
    contrasts: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Tables:
    """The tables of a run as its raw files give them, and what was found on the way."""

    tables: Mapping[str, pa.Table]  # cells, requests, contrasts, accuracy, and of OPTIONAL those that it has
    summary: AnalysisSummary
    context: Context

    @property
    def in_short(self) -> pa.Table:
        """Return what ``summary.csv`` holds: a row a variant and load."""
        cells = rows_of(self.tables["cells"], SUMMARISED)
        return summary_table(cells, self.tables["accuracy"].to_pylist(), self.context)


def analyze(run: RunDir, progress: Progress | None = None) -> AnalysisSummary:
    """Recompute ``tables/{cells,requests,contrasts,accuracy}.parquet`` from the raw files of ``run``; and
    ``nodes.parquet`` where it has several machines, ``neighbours.parquet`` where engines ran beside each other.
    ``summary.csv`` beside them sums cells and accuracy up.

    The same files give the same tables, byte for byte. A damaged or unfinished cell is a row that says so. What is
    made of a cell alone is kept in the run (``kept``), and taken from there while its files have the same bytes.

    Args:
        run: the run directory; ``study.yaml`` and ``plan.parquet`` may be missing (one measured endpoint).
        progress: called with (cells done, cells in all) now and then.

    Raises:
        TraceError: there is not a single cell, planned or finished.
    """
    with cycles_left_alone():
        computed = compute(run, progress, Kept)
        _write(run, computed)
    return computed.summary


def _write(run: RunDir, computed: Tables) -> None:
    with ThreadPoolExecutor(len(computed.tables)) as threads:
        written = [
            threads.submit(write_parquet, run.table(name), table) for name, table in computed.tables.items()
        ]
        in_short = computed.in_short
    for future in written:
        future.result()
    for name in OPTIONAL - computed.tables.keys():
        run.table(name).unlink(missing_ok=True)
    with atomic_path(run.summary) as temporary:
        pacsv.write_csv(in_short, temporary)


def compute(
    run: RunDir, progress: Progress | None = None, kept_in: Callable[[RunDir, Context], Kept] | None = None
) -> Tables:
    """Compute what ``analyze`` writes, without writing it; raises as it does.

    ``kept_in``: opens what is kept of a run's cells; None: nothing is taken from there, and nothing put there.
    """
    context, warnings = read_context(run)
    finished = list(run.finished_cells())
    keys = _all_cells(run, finished)
    if not keys:
        raise TraceError(f"{run.root}: no cells here: neither plan.parquet nor cells/ names any")
    parts = _parts(run, keys, finished, context, kept_in, progress)
    made, answers = RunTables(parts, with_phase=True), parts.answers()
    nodes = made.nodes
    context = replace(context, nodes=nodes, made_up=_made_up(answers))
    graded = [row for row in made.rows(USED) if not is_probe(row["load"])]
    drift = drift_rows(graded, nodes)  # before the contrasts: it marks what drifted
    made.mark_drifted(drifted_in(drift))
    contrasts = [*contrast_rows(graded, context), *drift, *accuracy_contrast_rows(answers, context)]
    rows = {"contrasts": contrasts, "nodes": node_rows(graded, nodes)}
    if alone := _rows_alone(RunDir(run.alone), kept_in):
        beside = [row for row in made.rows(_BESIDE) if not is_probe(row["load"])]
        rows["neighbours"] = neighbour_rows(beside, alone, windows_of(run))
    tables = {name: _table(name, listed) for name, listed in rows.items() if listed or name not in OPTIONAL}
    tables |= {"cells": made.cells, "requests": made.requests}
    tables["accuracy"] = accuracy_table([(cell.key, cell.accuracy) for cell in answers])
    stamped = {name: _stamped(table) for name, table in tables.items()}
    told = {KEY: inputs_of(run, parts.tails()), MEMORISED: json.dumps(made.memorised)}
    stamped["cells"] = _stamped(tables["cells"], told)
    summary = AnalysisSummary(
        cells=len(keys),
        measured=made.measured,
        invalid=tuple(cell for cell in made.invalid if cell is not None),
        requests=tables["requests"].num_rows,
        contrasts=len(contrasts),
        warnings=(*warnings, *older_graders(tables["cells"])),
    )
    return Tables(stamped, summary, context)


def _table(name: str, rows: Sequence[Row]) -> pa.Table:
    """Make a table of its rows, with what the boards were set to, which stands in the loads' names."""
    table, schema = pa.Table.from_pylist(rows, schema=SCHEMAS[name]), SCHEMAS[name]
    for load, board in (("load", "board"), ("reference_load", "reference_board")):
        if load in schema.names:
            boards = [board_of(named or "") for named in table.column(load).to_pylist()]
            table = with_column(table, board, boards)
    return table


def _made_up(answers: Sequence[Answers]) -> frozenset[str]:
    """Loads whose prompts were made up to recorded lengths."""
    return frozenset(cell.key.load for cell in answers if cell.accuracy.reason == MADE_UP)


def _parts(
    run: RunDir,
    keys: Sequence[CellKey],
    finished: Sequence[CellKey],
    context: Context,
    kept_in: Callable[[RunDir, Context], Kept] | None,
    progress: Progress | None = None,
) -> Parts:
    """Read all cells, but for those that are kept."""
    kept = None if kept_in is None else kept_in(run, context)
    known = None if kept is None else kept.find(finished)
    cells = cells_of_run(run, keys, finished, context, known, progress)
    if kept is not None:
        kept.keep(cells.read)
    return cells.parts


def older_graders(cells: pa.Table) -> Iterator[str]:
    """Yield a sentence where cells keep the verdicts of an older grader."""
    versions = cells.filter(pc.equal(cells["metric"], f"check:{OLDER_GRADER}"))["value"].to_pylist()
    for version in sorted(set(versions)):
        count = versions.count(version)
        yield (
            f"{count} cell{'s were' if count > 1 else ' was'} graded by version {version:.0f} of the grader, and this "
            f"starwatt has {GRADER_VERSION}: starwatt grade judges the same answers again"
        )


def _rows_alone(alone: RunDir, kept_in: Callable[[RunDir, Context], Kept] | None) -> list[Row]:
    """Make the rows of the check whether neighbours disturb; none where there was no such check."""
    keys = list(alone.finished_cells())
    if not keys:
        return []
    parts = _parts(alone, keys, keys, read_context(alone)[0], kept_in)
    return RunTables(parts, with_phase=False).rows(_BESIDE)


def _stamped(table: pa.Table, more: Mapping[str, str] | None = None) -> pa.Table:
    """No clock in the metadata: a table says what its inputs say, whenever it is made."""
    metadata = {"schema_version": str(SCHEMA_VERSION), **(more or {})}
    return table.replace_schema_metadata(metadata).combine_chunks()


def _all_cells(run: RunDir, finished: Sequence[CellKey]) -> list[CellKey]:
    """Cells of the plan, where it reads, and cells on disk, sorted."""
    keys = set(finished)
    with contextlib.suppress(TraceError):
        keys |= set(read_plan(run))
    return sorted(keys)
