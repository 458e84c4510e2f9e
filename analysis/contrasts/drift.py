"""Whether a load cost the same in the first block as in the last: trends across blocks, able to invalidate (``drift``).

Contrasts are paired within blocks, so what moves all cells of a block alike cancels in them; a figure of one load
does not have that protection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import CellFigures, Side, key_of, value_row
from analysis.validity.steadiness import Trend, trend
from traces.layout import CellKey

MIN_DRIFT_BLOCKS = 5
DRIFT_BOUND = 0.10  # from the first block to the last, of the logarithm
_METRICS = ("j_per_request", "power_mean_w", "request_rate")


def drift_rows(rows: Sequence[Row], nodes: Mapping[CellKey, str] | None = None) -> list[Row]:
    """Rows ``<metric>_drift`` of contrast ``drift`` (last over first block), and cells' joules marked in ``rows``.

    A side needs five valid blocks. Where its joules, watts or rate moved by more than 10 % and p is below 1 %, all its
    joules become invalid. A side that ran on several nodes has none: its blocks are no sequence in time.
    """
    figures = CellFigures(rows, nodes)
    found: list[Row] = []
    drifted: set[tuple[Side, tuple[str, str]]] = set()
    for pair in figures.boundaries:
        for side in figures.sides:
            for metric in _METRICS:
                where = None if metric == "request_rate" else pair
                line, blocks = _trend(figures, side, where, metric)
                if line is None:
                    continue
                failed = line.significant(DRIFT_BOUND)
                key = key_of("drift", side, side, pair)
                row = value_row(key, f"{metric}_drift", float(np.exp(line.change)), "ratio", blocks, ())
                row.update(valid=not failed, reasons=["drift"] * failed)
                found += [row, value_row(key, f"{metric}_drift_p", line.p, "probability", blocks, ())]
                if failed:
                    drifted.add((side, pair))
    _mark(rows, drifted)
    return found


def _trend(
    figures: CellFigures, side: Side, pair: tuple[str, str] | None, metric: str
) -> tuple[Trend | None, int]:
    """Of the logarithms, in the order of blocks."""
    if len(figures.nodes(side)) > 1:
        return None, 0
    own = [figures.get(side, block, pair, metric) for block in figures.blocks(side, side)]
    values = [one.value for one in own if one.valid and one.value is not None and one.value > 0]
    if len(values) < MIN_DRIFT_BLOCKS:
        return None, len(values)
    return trend(np.log(np.array(values))), len(values)


def _mark(rows: Sequence[Row], drifted: set[tuple[Side, tuple[str, str]]]) -> None:
    for row in rows:
        side, pair = (row["model"], row["variant"], row["load"]), (row["boundary"], row["source"])
        if (side, pair) in drifted and not row["metric"].startswith("check:"):
            row.update(valid=False, reasons=sorted({*row["reasons"], "drift"}))
