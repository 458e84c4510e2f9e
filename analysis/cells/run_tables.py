"""``tables/cells`` and ``tables/requests`` of a run: the parts of its cells together, and what takes all of them."""

from __future__ import annotations

from collections.abc import Collection, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import Bools
from analysis.cells.columns import reasons_in, rows_of, with_reason
from analysis.cells.parts import Parts
from analysis.cells.phase_rows import phase_of
from analysis.cells.rows import Row
from analysis.cells.tabulate import InvalidCell
from analysis.keys import Condition, MeterKey
from traces.layout import CellKey
from traces.parquet import with_column


class RunTables:
    """Put a run's tables together."""

    def __init__(self, parts: Parts, *, with_phase: bool) -> None:
        """``with_phase``: apply the rule ``phase``, for which the costs of each variant are fitted to all its cells."""
        self._keys = parts.keys
        self.cells, self._of_cell = parts.rows("rows")
        self.requests, self._of_requests = parts.rows("requests")
        self.invalid: list[InvalidCell | None] = parts.invalid()
        self.measured = int(parts.listed("measured").known.sum())
        nodes = zip(parts.keys, parts.column("node"), strict=True)
        self.nodes: dict[CellKey, str] = {key: node for key, node in nodes if node is not None}
        memorised = zip(parts.keys, parts.column("memorised"), strict=True)
        self.memorised = sorted({key.model for key, fitted in memorised if fitted})
        if with_phase:
            self._add_phase(parts)

    def rows(self, metrics: Collection[str]) -> list[Row]:
        """Give the rows of ``tables/cells`` that are of these metrics."""
        return rows_of(self.cells, metrics)

    def mark_drifted(self, drifted: Set[tuple[Condition, MeterKey | None]]) -> None:
        """Make the joules of sides that drifted invalid; where that is all that speaks against a cell, the cell too."""
        if drifted:
            self.cells = with_reason(self.cells, self._rows_of(drifted), "drift")
        sets, at = reasons_in(self.cells["reasons"])
        told = np.array(["drift" in codes for codes in sets], dtype=np.bool_)
        spoiled = np.zeros(len(self._keys), dtype=np.bool_)
        spoiled[np.unique(self._of_cell[told[at]])] = True
        spoiled &= np.array([cell is None for cell in self.invalid], dtype=np.bool_)
        if not spoiled.any():
            return
        for place in np.flatnonzero(spoiled):
            self.invalid[place] = InvalidCell(self._keys[place], ("drift",), None)
        valid = self.requests["valid"].to_numpy() & ~spoiled[self._of_requests]
        self.requests = with_column(self.requests, "valid", pa.array(valid))

    def _add_phase(self, parts: Parts) -> None:
        """A cell's rows of the rule stand behind its others."""
        rows, of_cell, joules = phase_of(parts)
        every = np.concatenate((self._of_cell, of_cell))
        order = np.argsort(every, kind="stable")
        self.cells = pa.concat_tables([self.cells, rows]).combine_chunks().take(pa.array(order))
        self._of_cell = every[order]
        self.requests = with_column(self.requests, "energy_phase_j", pa.array(joules, from_pandas=True))

    def _rows_of(self, drifted: Set[tuple[Condition, MeterKey | None]]) -> Bools:
        """Find the figures of these sides by these meters, but for the checks."""
        sides = {side: at for at, side in enumerate(sorted({side for side, _ in drifted}))}
        of_key = [sides.get(Condition(key.model, key.variant, key.load), -1) for key in self._keys]
        of_side = np.array(of_key, dtype=np.int64)[self._of_cell]
        drifting = np.zeros(self._of_cell.size, dtype=np.bool_)
        for meter in {meter for _, meter in drifted}:
            by_side = np.array([(side, meter) in drifted for side in sides] + [False], dtype=np.bool_)
            drifting |= by_side[of_side] & self._by(meter)
        return drifting & ~_true(pc.starts_with(self.cells["metric"], "check:"))

    def _by(self, meter: MeterKey | None) -> Bools:
        boundary, source = self.cells["boundary"], self.cells["source"]
        if meter is None:
            return _true(pc.is_null(boundary))
        return _true(pc.and_(pc.equal(boundary, meter.boundary), pc.equal(source, meter.source)))


def _true(mask: pa.ChunkedArray) -> Bools:
    return np.asarray(pc.fill_null(mask, False).to_numpy(), dtype=np.bool_)
