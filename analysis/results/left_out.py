"""Say what of an analysed run is in none of its figures, for those who only read it: damaged and unmeasured cells."""

from __future__ import annotations

from analysis.cells.cell import analyse_cell
from analysis.cells.context import read_context
from analysis.runs.identity import misplaced_cells
from analysis.table_files import read_table
from traces.layout import CellKey, RunDir

_KEY = ("model", "variant", "load", "block")


def left_out(run: RunDir) -> tuple[str, ...]:
    """Return a sentence for each cell that is damaged, one for all that are missing, and one a file of the run's own.

    Raises:
        TraceError: the tables are missing.
    """
    context, unread = read_context(run)
    codes: dict[CellKey, set[str]] = {}
    for row in read_table(run, "cells").select([*_KEY, "reasons"]).to_pylist():
        codes.setdefault(CellKey(*(row[name] for name in _KEY)), set()).update(row["reasons"])
    damaged = sorted(key for key, reasons in codes.items() if "trace_damaged" in reasons)
    missing = sorted(key for key, reasons in codes.items() if "not_measured" in reasons)
    misplaced = misplaced_cells(run) if damaged else {}
    why = {key: misplaced.get(key) or analyse_cell(run, key, context).problem for key in damaged}
    words = [f"left out: {key}: {problem}" for key, problem in why.items()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        words.append(f"left out: {missing[0]}{more}, of {len(codes)} cells: not measured")
    return (*words, *unread)
