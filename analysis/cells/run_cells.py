"""All cells of a run, read or known already, and each in its place: what is not of this run is damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import pyarrow as pa

from analysis.cells.bearing import bearing_on_cells
from analysis.cells.cell import damaged_cell, failures_of, unmeasured_cell
from analysis.cells.context import Context
from analysis.cells.crew import read_cells
from analysis.cells.parts import KEY, PARTS, Parts, parts_of
from analysis.cells.tabulate import tabulate
from analysis.runs.identity import misplaced_in
from traces.layout import CellKey, RunDir

Progress = Callable[[int, int], None]
"""Is told cells done, and cells in all."""


@dataclass(frozen=True)
class RunCells:
    """Hold the cells of a run, in the order that was asked for."""

    parts: Parts
    read: pa.Table  # those of them that were read now (``PARTS``), as their own files say


def cells_of_run(
    run: RunDir,
    keys: Sequence[CellKey],
    finished: Sequence[CellKey],
    context: Context,
    known: pa.Table | None = None,
    progress: Progress | None = None,
) -> RunCells:
    """Make the parts of the tables of all cells.

    Args:
        run: whose.
        keys: cells of the plan and cells on disk, in the order of the tables.
        finished: those of them that have a ``cell.json``.
        context: the run's study and manifest.
        known: parts (``PARTS``) of finished cells that need not be read.
        progress: called now and then, after the last cell too.
    """
    known = PARTS.empty_table() if known is None else known
    there = set(_keys(known))
    tell = _Counter(progress, len(keys), len(keys) - len(finished) + len(there))
    read = read_cells(run, [key for key in finished if key not in there], bearing_on_cells(context), tell)
    table = pa.concat_tables([known, read])
    parts = Parts(table)
    of = dict(zip(parts.keys, range(len(parts.keys)), strict=True))
    identities = parts.identities()
    misplaced = misplaced_in(run, {key: identities[key] for key in sorted(identities)})
    others = [damaged_cell(key, problem) for key, problem in misplaced.items()]
    failures = failures_of(run) if len(finished) < len(keys) else {}
    others += [unmeasured_cell(key, failures) for key in keys if key not in of]
    if others:
        table = pa.concat_tables([table, parts_of([tabulate(other) for other in others])])
    of |= {other.key: len(parts.keys) + at for at, other in enumerate(others)}
    order = np.array([of[key] for key in keys], dtype=np.int64)
    if not np.array_equal(order, np.arange(table.num_rows)):
        table = table.take(pa.array(order))
    return RunCells(Parts(table), read)


def _keys(table: pa.Table) -> list[CellKey]:
    return [CellKey(*key) for key in zip(*(table[name].to_pylist() for name in KEY), strict=True)]


class _Counter:
    """Add up what is done in several threads."""

    def __init__(self, progress: Progress | None, total: int, done: int) -> None:
        self._progress, self._total, self._done = progress, total, done
        self._lock = Lock()
        if progress is not None and done:
            progress(done, total)

    def __call__(self, more: int) -> None:
        """Count cells that are done now."""
        with self._lock:
            self._done += more
            if self._progress is not None:
                self._progress(self._done, self._total)
