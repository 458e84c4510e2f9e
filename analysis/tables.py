"""``starwatt analyze``: the raw files of a run become its four tables, the same ones every time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from analysis.accuracy.verdicts import accuracy_table
from analysis.cells.cell import Context, analyse_cell, damaged_cell, read_context
from analysis.cells.rows import Row
from analysis.cells.tabulate import REQUESTS_TABLE, InvalidCell, Tabulated, mark_drifted, tabulate, with_phase
from analysis.contrasts.accuracy import accuracy_contrast_rows
from analysis.contrasts.drift import drift_rows
from analysis.contrasts.interference import neighbour_rows, windows_of
from analysis.contrasts.nodes import node_rows
from analysis.contrasts.ratios import contrast_rows
from analysis.runs.identity import misplaced_cells
from analysis.runs.inputs import KEY, inputs_of
from analysis.runs.provenance import read_plan
from analysis.table_files import SCHEMAS, read_table
from configs.loads import is_probe
from starwatt_errors import TraceError
from traces.atomic import write_parquet
from traces.layout import CellKey, RunDir
from traces.schemas import CELLS, CONTRASTS, NEIGHBOURS, NODES, SCHEMA_VERSION

OPTIONAL = frozenset({"nodes", "neighbours"})
"""Tables that only some runs have."""
__all__ = [
    "REQUESTS_TABLE",
    "AnalysisSummary",
    "InvalidCell",
    "Tables",
    "analyze",
    "compute",
    "ensure_analysed",
    "is_analysed",
    "read_table",
]


@dataclass(frozen=True)
class AnalysisSummary:
    """What ``analyze`` did."""

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


def analyze(run: RunDir, progress: Callable[[int, int], None] | None = None) -> AnalysisSummary:
    """Recompute ``tables/{cells,requests,contrasts,accuracy}.parquet`` from the raw files of ``run``; and
    ``nodes.parquet`` where it has several machines, ``neighbours.parquet`` where engines ran beside each other.

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
    return found.summary


def is_analysed(run: RunDir) -> bool:
    """Whether a run has all its tables, made from its files as they are now."""
    try:
        tables = {name: read_table(run, name) for name in SCHEMAS.keys() - OPTIONAL}
        for name in OPTIONAL:
            if run.table(name).is_file():
                read_table(run, name)
    except TraceError:
        return False
    made_from = (tables["cells"].schema.metadata or {}).get(KEY.encode(), b"").decode(errors="replace")
    return bool(made_from == inputs_of(run))


def ensure_analysed(run: RunDir) -> None:
    """Analyse a run whose tables are missing, or were made from other files; raises as ``analyze``."""
    if not is_analysed(run):
        analyze(run)


def compute(run: RunDir, progress: Callable[[int, int], None] | None = None) -> Tables:
    """What ``analyze`` writes, without writing it; raises as it does."""
    context, warnings = read_context(run)
    keys = _all_cells(run)
    if not keys:
        raise TraceError(f"{run.root}: no cells here: neither plan.parquet nor cells/ names any")
    misplaced = misplaced_cells(run)
    cells: list[Tabulated] = []
    for done, key in enumerate(keys, 1):
        cells.append(_tabulated(run, key, context, misplaced))
        if progress is not None:
            progress(done, len(keys))
    rows = with_phase(cells)
    context = replace(context, nodes={one.key: one.node for one in cells if one.node is not None})
    graded = [row for row in rows if not is_probe(row["load"])]
    drift = drift_rows(graded, context.nodes)  # before the contrasts: it marks what drifted
    mark_drifted(cells)
    answers = [one.answers for one in cells if one.answers is not None]
    contrasts = [*contrast_rows(graded, context), *drift, *accuracy_contrast_rows(answers, context)]
    tables = {
        "cells": pa.Table.from_pylist(rows, schema=CELLS),
        "requests": pa.concat_tables([REQUESTS_TABLE.empty_table(), *(one.requests for one in cells)]),
        "contrasts": pa.Table.from_pylist(contrasts, schema=CONTRASTS),
        "accuracy": accuracy_table([(one.key, one.accuracy) for one in answers]),
    }
    if of_nodes := node_rows(graded, context.nodes):
        tables["nodes"] = pa.Table.from_pylist(of_nodes, schema=NODES)
    if alone := _rows_alone(RunDir(run.alone)):
        beside = neighbour_rows(graded, alone, windows_of(run))
        tables["neighbours"] = pa.Table.from_pylist(beside, schema=NEIGHBOURS)
    summary = AnalysisSummary(
        cells=len(keys),
        measured=sum(one.phase is not None for one in cells),
        invalid=tuple(one.invalid for one in cells if one.invalid is not None),
        requests=tables["requests"].num_rows,
        contrasts=len(contrasts),
        warnings=warnings,
    )
    stamped = {name: _stamped(table) for name, table in tables.items()}
    stamped["cells"] = _stamped(tables["cells"], {KEY: inputs_of(run)})
    return Tables(stamped, summary)


def _tabulated(run: RunDir, key: CellKey, context: Context, misplaced: Mapping[CellKey, str]) -> Tabulated:
    if key in misplaced:
        return tabulate(damaged_cell(key, misplaced[key]))
    return tabulate(analyse_cell(run, key, context))


def _rows_alone(alone: RunDir) -> list[Row]:
    """Of the check whether neighbours disturb; none where there was no such check."""
    context, _ = read_context(alone)
    misplaced = misplaced_cells(alone)
    return with_phase([_tabulated(alone, key, context, misplaced) for key in alone.finished_cells()])


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
