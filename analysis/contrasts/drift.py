"""Find whether a load cost the same in the last block as in the first: trends that can invalidate (``drift``).

Contrasts are paired within blocks, so what moves all cells of a block alike cancels in them; a figure of one load
does not have that protection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import CellFigures, key_of, value_row
from analysis.keys import Condition, MeterKey
from analysis.metrics import metric
from analysis.validity.steadiness import trend
from traces.layout import CellKey

MIN_DRIFT_BLOCKS = 5
DRIFT_BOUND = 0.10  # from the first block to the last, of the logarithm
_METRICS = ("j_per_request", "power_mean_w", "request_rate")


def drift_rows(rows: Sequence[Row], nodes: Mapping[CellKey, str] | None = None) -> list[Row]:
    """Return rows ``<metric>_drift`` of contrast ``drift`` (last over first block), and mark cells' joules in ``rows``.

    A side needs five valid blocks. Where its joules, watts or rate moved by more than 10 % and p is below 1 %, all its
    joules become invalid. A side that ran on several nodes has none: its blocks are no sequence in time.
    """
    figures = CellFigures([row for row in rows if row["metric"] in ("window_s", *_METRICS)], nodes)
    drifts: list[Row] = []
    for meter, side, name in product(figures.meters, figures.sides, _METRICS):
        good = figures.good(side, meter if metric(name).each_boundary else None, name)
        if len(figures.nodes(side)) > 1 or len(good) < MIN_DRIFT_BLOCKS:
            continue
        if (line := trend(np.log(np.array(list(good.values()))))) is None:
            continue
        failed = line.significant(DRIFT_BOUND)
        key = key_of("drift", side, side, meter)
        row = value_row(key, f"{name}_drift", float(np.exp(line.change)), len(good), ["drift"] * failed)
        drifts += [{**row, "valid": not failed}, value_row(key, f"{name}_drift_p", line.p, len(good))]
    drifted = drifted_in(drifts)
    for row in rows:
        if (Condition.of(row), MeterKey.of(row)) in drifted and not row["metric"].startswith("check:"):
            row.update(valid=False, reasons=sorted({*row["reasons"], "drift"}))
    return drifts


def drifted_in(drifts: Sequence[Row]) -> set[tuple[Condition, MeterKey | None]]:
    """Find the sides, and the meters, of which ``drift_rows`` says that their joules are not to be believed."""
    return {
        (Condition.of(row), MeterKey.of(row))
        for row in drifts
        if not row["valid"] and row["reasons"] == ["drift"]
    }
