"""``starwatt analyze``: the raw files of a run become its four tables, the same ones every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.accuracy import accuracy_table
from analysis.accuracy_contrasts import accuracy_contrast_rows
from analysis.cell import analyse_cell, read_context
from analysis.contrasts import contrast_rows
from analysis.drift import drift_rows
from analysis.neighbours import neighbour_rows, windows_of
from analysis.nodes import node_rows
from analysis.rows import Row
from analysis.tabulate import REQUESTS_TABLE, InvalidCell, Tabulated, mark_drifted, tabulate, with_phase
from configs.loads import is_probe
from starwatt_errors import TraceError
from traces.atomic import write_parquet
from traces.layout import CellKey, RunDir, model_slug
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
    """Whether a run has its tables."""
    return run.table("cells").is_file() and run.table("contrasts").is_file()


def ensure_analysed(run: RunDir) -> None:
    """Analyse a run where that was not done; raises as ``analyze``."""
    if not is_analysed(run):
        analyze(run)


def compute(run: RunDir, progress: Callable[[int, int], None] | None = None) -> Tables:
    """What ``analyze`` writes, without writing it; raises as it does."""
    context, study_warning = read_context(run)
    keys, plan_warning = _all_cells(run)
    if not keys:
        raise TraceError(f"{run.root}: no cells here: neither plan.parquet nor cells/ names any")
    cells: list[Tabulated] = []
    for done, key in enumerate(keys, 1):
        cells.append(tabulate(analyse_cell(run, key, context)))
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
    if alone := _rows_alone(run):
        beside = neighbour_rows(graded, alone, windows_of(run))
        tables["neighbours"] = pa.Table.from_pylist(beside, schema=NEIGHBOURS)
    summary = AnalysisSummary(
        cells=len(keys),
        measured=sum(one.phase is not None for one in cells),
        invalid=tuple(one.invalid for one in cells if one.invalid is not None),
        requests=tables["requests"].num_rows,
        contrasts=len(contrasts),
        warnings=tuple(filter(None, (study_warning, plan_warning))),
    )
    return Tables({name: _stamped(table) for name, table in tables.items()}, summary)


def _rows_alone(run: RunDir) -> list[Row]:
    """Of the check whether neighbours disturb; none where there was no such check."""
    alone = RunDir(run.alone)
    context, _ = read_context(alone)
    return with_phase([tabulate(analyse_cell(alone, key, context)) for key in alone.finished_cells()])


def _stamped(table: pa.Table) -> pa.Table:
    """No clock in the metadata: a table says what its inputs say, whenever it is made."""
    return table.replace_schema_metadata({"schema_version": str(SCHEMA_VERSION)}).combine_chunks()


def read_table(run: RunDir, name: str) -> pa.Table:
    """A derived table.

    Raises:
        TraceError: it is not there (``starwatt analyze`` makes it), or does not read.
    """
    path = run.table(name)
    if not path.is_file():
        raise TraceError(f"{path}: is not there; starwatt analyze makes it")
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: does not read; delete it and run starwatt analyze: {error}") from error


def _all_cells(run: RunDir) -> tuple[list[CellKey], str | None]:
    """Cells of the plan and cells on disk, sorted; and a warning where the plan does not read."""
    keys, warning = set(run.finished_cells()), None
    if run.plan.is_file():
        try:
            plan = pq.read_table(run.plan, columns=["model", "variant", "load", "block"])
        except (pa.ArrowException, OSError, KeyError) as error:
            warning = f"{run.plan}: does not read, so cells that were not measured are not known: {error}"
        else:
            keys |= {
                CellKey(model_slug(row["model"]), row["variant"], row["load"], row["block"])
                for row in plan.to_pylist()
            }
    return sorted(keys), warning
