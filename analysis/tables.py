"""``starwatt analyze``: the raw files of a run become its four tables, the same ones every time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.csv as pacsv

from analysis.accuracy.verdicts import MADE_UP, accuracy_table
from analysis.cells.cell import Context, analyse_cell, damaged_cell, read_context
from analysis.cells.rows import Row
from analysis.cells.tabulate import InvalidCell, Tabulated, mark_drifted, tabulate, with_phase
from analysis.contrasts.accuracy import accuracy_contrast_rows
from analysis.contrasts.drift import drift_rows
from analysis.contrasts.interference import neighbour_rows, windows_of
from analysis.contrasts.nodes import node_rows
from analysis.contrasts.ratios import contrast_rows
from analysis.runs.identity import misplaced_cells
from analysis.runs.inputs import KEY, inputs_of
from analysis.runs.provenance import read_plan
from analysis.summary import summary_table
from analysis.table_files import SCHEMAS, read_table
from configs.loads import is_probe
from starwatt_errors import TraceError
from traces.atomic import atomic_path, write_parquet
from traces.layout import CellKey, RunDir
from traces.schemas import REQUESTS_TABLE, SCHEMA_VERSION

OPTIONAL = frozenset({"nodes", "neighbours"})
"""Tables that only some runs have."""
__all__ = ["AnalysisSummary", "Tables", "analyze", "compute", "read_table"]


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
        """What ``summary.csv`` holds: a row a variant and load."""
        cells, accuracy = (self.tables[name].to_pylist() for name in ("cells", "accuracy"))
        return summary_table(cells, accuracy, self.context)


def analyze(run: RunDir, progress: Callable[[int, int], None] | None = None) -> AnalysisSummary:
    """Recompute ``tables/{cells,requests,contrasts,accuracy}.parquet`` from the raw files of ``run``; and
    ``nodes.parquet`` where it has several machines, ``neighbours.parquet`` where engines ran beside each other.
    ``summary.csv`` beside them sums cells and accuracy up.

    The same files give the same tables, byte for byte. A damaged or unfinished cell is a row that says so.

    Args:
        run: the run directory; ``study.yaml`` and ``plan.parquet`` may be missing (one measured endpoint).
        progress: called with (cells done, cells in all) after each cell.

    Raises:
        TraceError: there is not a single cell, planned or finished.
    """
    found = compute(run, progress)
    for name, table in found.tables.items():
        write_parquet(run.table(name), table)
    for name in OPTIONAL - found.tables.keys():
        run.table(name).unlink(missing_ok=True)
    with atomic_path(run.summary) as temporary:
        pacsv.write_csv(found.in_short, temporary)
    return found.summary


def compute(run: RunDir, progress: Callable[[int, int], None] | None = None) -> Tables:
    """Compute what ``analyze`` writes, without writing it; raises as it does."""
    context, warnings = read_context(run)
    keys = _all_cells(run)
    if not keys:
        raise TraceError(f"{run.root}: no cells here: neither plan.parquet nor cells/ names any")
    cells = _measured(run, keys, context, progress)
    rows = with_phase(cells)
    nodes = {one.key: one.node for one in cells if one.node is not None}
    context = replace(context, nodes=nodes, made_up=_made_up(cells))
    graded = [row for row in rows if not is_probe(row["load"])]
    drift = drift_rows(graded, nodes)  # before the contrasts: it marks what drifted
    mark_drifted(cells)
    answers = [one.answers for one in cells if one.answers is not None]
    contrasts = [*contrast_rows(graded, context), *drift, *accuracy_contrast_rows(answers, context)]
    made = {"cells": rows, "contrasts": contrasts, "nodes": node_rows(graded, nodes)}
    if alone := _rows_alone(RunDir(run.alone)):
        made["neighbours"] = neighbour_rows(graded, alone, windows_of(run))
    tables = {
        name: pa.Table.from_pylist(own, schema=SCHEMAS[name])
        for name, own in made.items()
        if own or name not in OPTIONAL
    }
    tables["requests"] = pa.concat_tables([REQUESTS_TABLE.empty_table(), *(one.requests for one in cells)])
    tables["accuracy"] = accuracy_table([(one.key, one.accuracy) for one in answers])
    stamped = {name: _stamped(table) for name, table in tables.items()}
    stamped["cells"] = _stamped(tables["cells"], {KEY: inputs_of(run)})
    return Tables(stamped, _summary(cells, stamped, warnings), context)


def _made_up(cells: Sequence[Tabulated]) -> frozenset[str]:
    """Loads whose prompts were made up to recorded lengths."""
    answers = (one.answers for one in cells)
    return frozenset(one.key.load for one in answers if one is not None and one.accuracy.reason == MADE_UP)


def _summary(
    cells: Sequence[Tabulated], tables: Mapping[str, pa.Table], warnings: tuple[str, ...]
) -> AnalysisSummary:
    return AnalysisSummary(
        cells=len(cells),
        measured=sum(one.phase is not None for one in cells),
        invalid=tuple(one.invalid for one in cells if one.invalid is not None),
        requests=tables["requests"].num_rows,
        contrasts=tables["contrasts"].num_rows,
        warnings=warnings,
    )


def _measured(
    run: RunDir, keys: Sequence[CellKey], context: Context, progress: Callable[[int, int], None] | None = None
) -> list[Tabulated]:
    """Tabulate every cell; what is not of this run is damaged."""
    misplaced, cells = misplaced_cells(run), []
    for done, key in enumerate(keys, 1):
        found = damaged_cell(key, misplaced[key]) if key in misplaced else analyse_cell(run, key, context)
        cells.append(tabulate(found))
        if progress is not None:
            progress(done, len(keys))
    return cells


def _rows_alone(alone: RunDir) -> list[Row]:
    """Make the rows of the check whether neighbours disturb; none where there was no such check."""
    return with_phase(_measured(alone, list(alone.finished_cells()), read_context(alone)[0]))


def _stamped(table: pa.Table, more: Mapping[str, str] | None = None) -> pa.Table:
    """No clock in the metadata: a table says what its inputs say, whenever it is made."""
    metadata = {"schema_version": str(SCHEMA_VERSION), **(more or {})}
    return table.replace_schema_metadata(metadata).combine_chunks()


def _all_cells(run: RunDir) -> list[CellKey]:
    """Cells of the plan, where it reads, and cells on disk, sorted."""
    keys = set(run.finished_cells())
    with contextlib.suppress(TraceError):
        keys |= set(read_plan(run))
    return sorted(keys)
