"""Whether engines side by side disturb each other: the same cell beside others, over alone (``tables/neighbours``).

Both were measured on the same boards and asked the same, block by block, so that the ratio is paired. How much of a
cell's window others really were measured beside it is ``overlap``: a study's last block may have nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import CellFigures, Side
from analysis.contrasts.statistics import RatioEstimate, paired_ratio
from starwatt_errors import TraceError
from traces.cell import Phase, read_cell
from traces.layout import CellKey, RunDir

LEAST_OVERLAP = 0.5
"""Of the window; with less a cell counts as one that nobody was beside."""
#: What is compared, with whether it is joules of a boundary.
METRICS = {
    "j_per_request": True,
    "power_mean_w": True,
    "output_token_rate": False,
    "ttft_p50_ms": False,
    "e2e_p50_ms": False,
}


@dataclass(frozen=True)
class Window:
    """When and where a cell was measured."""

    node: str
    boot_id: str | None
    start_ns: int
    end_ns: int


def neighbour_rows(
    beside: Sequence[Row], alone: Sequence[Row], windows: Mapping[CellKey, Window]
) -> list[Row]:
    """Rows of ``tables/neighbours`` from the cell rows of a run and of its ``alone/``; ``windows`` of the run."""
    near, far = CellFigures(beside), CellFigures(alone)
    found = []
    for side in far.sides:
        overlaps = {block: overlap(CellKey(*side, block), windows) for block in far.blocks(side, side)}
        for metric, of_boundary in METRICS.items():
            pairs = [pair for pair in far.boundaries if pair in near.boundaries] if of_boundary else [None]
            found += [_row(near, far, side, pair, metric, overlaps) for pair in pairs]
    return found


def windows_of(run: RunDir) -> dict[CellKey, Window]:
    """Of all finished cells that say where they ran and had a window."""
    found = {}
    for key in run.finished_cells():
        try:
            record = read_cell(run.cell(key))
        except TraceError:
            continue  # named elsewhere: trace_damaged
        window: Phase | None = record.phases.window
        if window is not None and record.node is not None:
            found[key] = Window(record.node.name, record.node.boot_id, window.start_ns, window.end_ns)
    return found


def overlap(key: CellKey, windows: Mapping[CellKey, Window]) -> float | None:
    """The share of a cell's window in which another node's was open too; None where it has none."""
    own = windows.get(key)
    if own is None or own.end_ns <= own.start_ns:
        return None
    others = sorted(
        (max(other.start_ns, own.start_ns), min(other.end_ns, own.end_ns))
        for other in windows.values()
        if other.node != own.node
        and other.boot_id == own.boot_id
        and max(other.start_ns, own.start_ns) < min(other.end_ns, own.end_ns)
    )
    covered_ns, reached_ns = 0, own.start_ns
    for start_ns, end_ns in others:
        if end_ns > reached_ns:
            covered_ns += end_ns - max(start_ns, reached_ns)
            reached_ns = end_ns
    return covered_ns / (own.end_ns - own.start_ns)


def _row(
    near: CellFigures,
    far: CellFigures,
    side: Side,
    pair: tuple[str, str] | None,
    metric: str,
    overlaps: Mapping[int, float | None],
) -> Row:
    """One metric; blocks in which nobody was beside the cell are left out."""
    with_others = [block for block, share in overlaps.items() if share is not None and share >= LEAST_OVERLAP]
    figures = {
        block: (near.get(side, block, pair, metric), far.get(side, block, pair, metric))
        for block in with_others
    }
    used = {
        block: (one.value, other.value)
        for block, (one, other) in figures.items()
        if one.valid and other.valid and one.value and other.value and min(one.value, other.value) > 0
    }
    estimate = paired_ratio([one for one, _ in used.values()], [other for _, other in used.values()])
    reasons = set(estimate.reasons)
    if not used:
        reasons.update(reason for both in figures.values() for one in both for reason in one.reasons)
    if not with_others:
        reasons.add("neighbours_idle")
    if _disturbed(estimate):
        reasons.add("neighbours_disturb")
    means = [float(np.mean(column)) for column in zip(*used.values(), strict=True)] if used else [None, None]
    return {
        "model": side[0],
        "variant": side[1],
        "load": side[2],
        "boundary": pair[0] if pair else None,
        "source": pair[1] if pair else None,
        "blocks": estimate.blocks,
        "beside": means[0],
        "alone": means[1],
        "overlap": float(np.mean([overlaps[block] for block in used])) if used else None,
        "metric": metric,
        "value": estimate.ratio,
        "unit": "ratio",
        "lo": estimate.lo,
        "hi": estimate.hi,
        "interval_kind": "blocks" if estimate.lo is not None else None,
        "valid": estimate.ratio is not None,
        "reasons": sorted(reasons),
    }


def _disturbed(estimate: RatioEstimate) -> bool:
    return estimate.lo is not None and estimate.hi is not None and not estimate.lo <= 1 <= estimate.hi
