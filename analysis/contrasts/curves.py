"""Joules over concurrency: the curve that batching follows, and from where on a variant costs less than another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from analysis.arrays import Floats
from analysis.cells.context import Context
from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import CellFigures, key_of, value_row
from analysis.contrasts.starts import means_of
from analysis.contrasts.statistics import MIN_BLOCKS, geometric_mean, student_t, why_no_interval
from analysis.keys import Condition, MeterKey
from traces.layout import board_of

MIN_LOADS = 3
_GRID = 400


@dataclass(frozen=True)
class Crossing:
    """A concurrency, and all that are as well possible; None with a reason."""

    concurrency: float | None
    lo: float | None
    hi: float | None
    reason: str | None


@dataclass(frozen=True)
class Saturation:
    """J/request = own + shared / concurrency."""

    own_j: float
    shared_j: float
    misfit: float  # worst, relative

    @property
    def half_at(self) -> float:
        """Return the concurrency at which both cost the same; NaN where a request costs nothing of its own."""
        return self.shared_j / self.own_j if self.own_j > 0 else np.nan


_PARTS: dict[str, Callable[[Saturation], float]] = {
    "own": lambda curve: curve.own_j,
    "shared": lambda curve: curve.shared_j,
    "half_at": lambda curve: curve.half_at,
}


def curve_rows(figures: CellFigures, meter: MeterKey, context: Context) -> list[Row]:
    """Return ``saturation`` of each variant, and ``crossover`` of each but the baseline."""
    rows: list[Row] = []
    curves = {(side.model, side.variant, board_of(side.load) or "") for side in figures.sides}
    for model, variant, board in sorted(curves):
        loads = _by_concurrency(figures, model, variant, board, context)
        if len(loads) < 2:  # nothing to draw a line through
            continue
        rows += _saturation_rows(figures, loads, meter)
        if context.baseline is not None and variant != context.baseline:
            rows += _crossover_rows(figures, loads, context.baseline, meter, context)
    return rows


def saturation(concurrency: Floats, joules: Floats) -> Saturation:
    """Fit by least squares of relative errors, neither part negative.

    What a step costs for its weights is shared by the batch, the rest is a request's own: so joules fall as 1 over
    the concurrency towards ``own_j``.
    """
    rows = np.column_stack((np.ones_like(concurrency), 1 / concurrency)) / joules[:, None]
    (own_j, shared_j), _ = nnls(rows, np.ones(joules.size))
    return Saturation(float(own_j), float(shared_j), float(np.abs(rows @ (own_j, shared_j) - 1).max()))


def crossing(concurrency: Floats, logs: Floats) -> Crossing:
    """Find where the mean of log-ratios crosses 0, linear between loads over the logarithm of concurrency.

    Its interval is every concurrency at which Student's t interval of the interpolated log-ratio holds 0: the values
    that a test at 5 % does not reject (Fieller's way). An end that lies outside of what was measured is None.

    Args:
        concurrency: (c,) ascending.
        logs: (k, c) of variant over baseline, a row a block, or an engine start of several blocks.
    """
    at = np.linspace(float(np.log(concurrency[0])), float(np.log(concurrency[-1])), _GRID)
    fine = np.array([np.interp(at, np.log(concurrency), block) for block in logs])
    mean = fine.mean(axis=0)
    turns = np.flatnonzero(np.sign(mean[1:]) * np.sign(mean[:-1]) < 0)
    if not turns.size:
        return Crossing(None, None, None, "no_crossover")
    if turns.size > 1:
        return Crossing(None, None, None, "several_crossovers")
    place = int(turns[0])
    share = mean[place] / (mean[place] - mean[place + 1])
    value = float(np.exp(at[place] + share * (at[place + 1] - at[place])))
    if (why := why_no_interval(logs.shape[0] - 1, logs.T)) is not None:
        return Crossing(value, None, None, why)
    centre, half = student_t(fine.T)
    possible = [place, place + 1, *np.flatnonzero(np.abs(centre) <= half).tolist()]
    first, last = min(possible), max(possible)
    lo = float(np.exp(at[first])) if first > 0 else None
    hi = float(np.exp(at[last])) if last < _GRID - 1 else None
    return Crossing(value, lo, hi, None if lo and hi else "beyond_measured")


def _by_concurrency(
    figures: CellFigures, model: str, variant: str, board: str, context: Context
) -> dict[int, Condition]:
    """Single-stream and closed loads on boards set alike, by how many requests they keep in flight, ascending."""
    points = [
        (concurrency, side)
        for side in figures.sides
        if (*side[:2], board_of(side.load) or "") == (model, variant, board)
        and (concurrency := context.concurrency(side.load)) is not None
    ]
    # closed-1 and single-stream are the same point.
    return dict(sorted(dict(sorted(points, reverse=True)).items()))


def _valid_blocks(
    figures: CellFigures, sides: Sequence[Condition], meter: MeterKey
) -> tuple[list[int], Floats]:
    """Return the blocks in which all sides have valid joules, and these, (k, sides)."""
    good = [figures.good(side, meter, "j_per_request") for side in sides]
    shared = sorted(set.intersection(*map(set, good)))
    joules = [[values[block] for values in good] for block in shared]
    return shared, np.array(joules, dtype=np.float64).reshape(len(shared), len(sides))


def _saturation_rows(figures: CellFigures, loads: Mapping[int, Condition], meter: MeterKey) -> list[Row]:
    sides = list(loads.values())
    key = key_of("saturation", sides[-1], sides[0], meter)
    _, joules = _valid_blocks(figures, sides, meter)
    why = "too_few_loads" if len(sides) < MIN_LOADS else "" if len(joules) else "no_valid_block"
    if why:
        return [value_row(key, f"saturation_{name}", None, len(joules), (why,)) for name in _PARTS]
    concurrency = np.array(list(loads), dtype=np.float64)
    whole = saturation(concurrency, np.exp(np.log(joules).mean(axis=0)))
    each = [saturation(concurrency, block_j) for block_j in joules]
    rows = [
        _part_row(key, f"saturation_{name}", part(whole), [part(curve) for curve in each])
        for name, part in _PARTS.items()
    ]
    return [*rows, value_row(key, "saturation_misfit", whole.misfit, len(joules))]


def _part_row(key: Row, name: str, value: float, by_block: Sequence[float]) -> Row:
    """Return a part of a curve, with the interval that its values of single blocks give it."""
    known = value if np.isfinite(value) else None
    reasons = () if known is not None else ("not_positive",)
    if len(by_block) < MIN_BLOCKS:
        return value_row(key, name, known, len(by_block), (*reasons, "too_few_blocks"))
    if known is None or not all(block_value > 0 for block_value in by_block):
        return value_row(key, name, known, len(by_block), reasons)
    estimate = geometric_mean(by_block)
    return value_row(key, name, known, len(by_block), estimate.reasons, bounds=estimate.bounds)


def _crossover_rows(
    figures: CellFigures, loads: Mapping[int, Condition], baseline: str, meter: MeterKey, context: Context
) -> list[Row]:
    both = {
        number: (side, reference)
        for number, side in loads.items()
        if (reference := side._replace(variant=baseline)) in figures.sides
    }
    if len(both) < 2:
        return []
    sides, references = (list(column) for column in zip(*both.values(), strict=True))
    key = key_of("crossover", sides[-1], references[0], meter)
    blocks, joules = _valid_blocks(figures, [*sides, *references], meter)
    if not len(joules):
        return [value_row(key, "crossover_concurrency", None, 0, ("no_valid_block",))]
    logs = np.log(joules[:, : len(sides)]) - np.log(joules[:, len(sides) :])
    starts = list(map(context.start_of, blocks)) if context.took_turns() else blocks
    crossed = crossing(np.array(list(both), dtype=np.float64), means_of(logs, starts))
    if context.started_once(sides[0].variant, baseline) and crossed.concurrency is not None:
        crossed = Crossing(crossed.concurrency, None, None, "one_engine_start")
    why = [crossed.reason] if crossed.reason else []
    bounds = None if crossed.lo is None and crossed.hi is None else (crossed.lo, crossed.hi)
    # 1: it costs less above the crossover and more below; 0: the other way round
    above = None if crossed.concurrency is None else float(logs[:, -1].mean() < 0)
    return [
        value_row(key, "crossover_concurrency", crossed.concurrency, len(joules), why, bounds=bounds),
        value_row(key, "costs_less_above", above, len(joules), why),
    ]
