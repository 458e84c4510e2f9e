"""Measure how engines side by side disturb each other: a cell beside others, over alone (``tables/neighbours``).

Others are measured on boards of their own, or stay loaded and are asked nothing.

Both were measured on the same boards and asked the same, block by block, so that the ratio is paired. How much of a
cell's window others really were measured beside it is ``overlap``: a study's last block may have nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays import mean
from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import CellFigures, ratio_row
from analysis.contrasts.statistics import RatioEstimate, paired_ratio
from analysis.keys import Condition, MeterKey
from analysis.metrics import metric
from starwatt_errors import TraceError
from traces.cell import Phase, read_cell
from traces.layout import CellKey, RunDir

LEAST_OVERLAP = 0.5
"""Of the window; with less a cell counts as one that nobody was beside."""
METRICS = ("j_per_request", "power_mean_w", "output_token_rate", "ttft_p50_ms", "e2e_p50_ms")
"""What is compared."""


@dataclass(frozen=True)
class CellWindow:
    """Say when and where a cell was measured."""

    node: str
    boot_id: str | None
    start_ns: int
    end_ns: int
    residents: bool = False
    """Whether other engines of the study were loaded all the time."""


def neighbour_rows(
    beside: Sequence[Row], alone: Sequence[Row], windows: Mapping[CellKey, CellWindow]
) -> list[Row]:
    """Make ``tables/neighbours`` from the cell rows of a run and of its ``alone/``; ``windows`` are the run's."""
    near, far = CellFigures(beside), CellFigures(alone)
    meters = [meter for meter in far.meters if meter in near.meters]
    rows = []
    for side in far.sides:
        overlaps = {block: overlap(side.cell(block), windows) for block in far.blocks(side, side)}
        shared = {block: share for block, share in overlaps.items() if share and share >= LEAST_OVERLAP}
        for name in METRICS:
            of: list[MeterKey] | list[None] = meters if metric(name).each_boundary else [None]
            rows += [_row(near, far, side, meter, name, shared) for meter in of]
    return rows


def windows_of(run: RunDir) -> dict[CellKey, CellWindow]:
    """Collect the windows of all finished cells that say where they ran."""
    windows = {}
    for key in run.finished_cells():
        try:
            record = read_cell(run.cell(key))
        except TraceError:
            continue  # named elsewhere: trace_damaged
        window: Phase | None = record.phases.window
        if window is not None and record.node is not None:
            windows[key] = CellWindow(
                record.node.name,
                record.node.boot_id,
                window.start_ns,
                window.end_ns,
                residents=record.audit.residents_cpu_share is not None,
            )
    return windows


def overlap(key: CellKey, windows: Mapping[CellKey, CellWindow]) -> float | None:
    """Return the share of a cell's window in which another node's was open, or others were loaded; None without one."""
    window = windows.get(key)
    if window is None or window.end_ns <= window.start_ns:
        return None
    if window.residents:
        return 1.0
    others = sorted(
        (max(other.start_ns, window.start_ns), min(other.end_ns, window.end_ns))
        for other in windows.values()
        if other.node != window.node
        and other.boot_id == window.boot_id
        and max(other.start_ns, window.start_ns) < min(other.end_ns, window.end_ns)
    )
    covered_ns, reached_ns = 0, window.start_ns
    for start_ns, end_ns in others:
        if end_ns > reached_ns:
            covered_ns += end_ns - max(start_ns, reached_ns)
            reached_ns = end_ns
    return covered_ns / (window.end_ns - window.start_ns)


def _row(
    near: CellFigures,
    far: CellFigures,
    side: Condition,
    meter: MeterKey | None,
    name: str,
    overlaps: Mapping[int, float],
) -> Row:
    """One metric over the blocks in which others were beside the cell: ``overlaps`` says for how much of it."""
    good = [of.good(side, meter, name) for of in (near, far)]
    used = [block for block in overlaps if block in good[0] and block in good[1]]
    columns = [[values[block] for block in used] for values in good]
    means = [mean(np.array(values)) for values in (*columns, [overlaps[block] for block in used])]
    told = dict(zip(("beside", "alone", "overlap"), means, strict=True))
    key = {**side._asdict(), **MeterKey.columns(meter), **told}
    estimate = paired_ratio(*columns)
    why = [*estimate.reasons, *_disturbed(estimate), *(["neighbours_idle"] if not overlaps else [])]
    if not used:
        why += [
            code for at in overlaps for of in (near, far) for code in of.get(side, at, meter, name).reasons
        ]
    return {**ratio_row(key, name, estimate), "unit": "ratio", "reasons": sorted(set(why))}


def _disturbed(estimate: RatioEstimate) -> tuple[str, ...]:
    lo, hi = estimate.bounds or (1.0, 1.0)
    return () if lo <= 1 <= hi else ("neighbours_disturb",)
