"""Joules over concurrency: the curve that batching follows, and from where on a variant costs less than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from analysis.arrays import Floats
from analysis.cells.cell import Context
from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import CellFigures, Side, key_of, value_row
from analysis.contrasts.statistics import MIN_BLOCKS, agree, student_t

MIN_LOADS = 3
_GRID = 400
Pair = tuple[str, str]


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


def curve_rows(figures: CellFigures, pair: Pair, context: Context) -> list[Row]:
    """``saturation`` of each variant, and ``crossover`` of each but the baseline."""
    rows: list[Row] = []
    names = sorted({side[:2] for side in figures.sides})
    for model, variant in names:
        loads = _by_concurrency(figures, model, variant, context)
        if len(loads) < 2:  # nothing to draw a line through
            continue
        rows += _saturation_rows(figures, loads, pair)
        baseline = context.baseline
        if baseline is not None and variant != baseline and (model, baseline) in names:
            rows += _crossover_rows(figures, loads, baseline, pair, context)
    return rows


def saturation(concurrency: Floats, joules: Floats) -> Saturation:
    """Least squares of relative errors, neither part negative.

    What a step costs for its weights is shared by the batch, the rest is a request's own: so joules fall as 1 over
    the concurrency towards ``own_j``.
    """
    rows = np.column_stack((np.ones_like(concurrency), 1 / concurrency)) / joules[:, None]
    (own, shared), _ = nnls(rows, np.ones(joules.size))
    return Saturation(float(own), float(shared), float(np.abs(rows @ (own, shared) - 1).max()))


def crossing(concurrency: Floats, logs: Floats) -> Crossing:
    """Where the mean of log-ratios crosses 0, linear between loads over the logarithm of concurrency.

    Its interval is every concurrency at which Student's t interval of the interpolated log-ratio holds 0: the values
    that a test at 5 % does not reject (Fieller's way). An end that lies outside of what was measured is None.

    Args:
        concurrency: (c,) ascending.
        logs: (k, c) of variant over baseline, a row a block.
    """
    at = np.linspace(float(np.log(concurrency[0])), float(np.log(concurrency[-1])), _GRID)
    fine = np.array([np.interp(at, np.log(concurrency), block) for block in logs])
    mean = fine.mean(axis=0)
    turns = np.flatnonzero(np.sign(mean[1:]) * np.sign(mean[:-1]) < 0)
    enough = logs.shape[0] >= MIN_BLOCKS
    if not turns.size:
        return Crossing(None, None, None, "no_crossover")
    if turns.size > 1:
        return Crossing(None, None, None, "several_crossovers")
    place = int(turns[0])
    share = mean[place] / (mean[place] - mean[place + 1])
    value = float(np.exp(at[place] + share * (at[place + 1] - at[place])))
    if not enough:
        return Crossing(value, None, None, "too_few_blocks")
    if all(map(agree, logs.T)):
        return Crossing(value, None, None, "blocks_agree")
    centre, half = student_t(fine.T)
    possible = [place, place + 1, *np.flatnonzero(np.abs(centre) <= half).tolist()]
    first, last = min(possible), max(possible)
    lo = float(np.exp(at[first])) if first > 0 else None
    hi = float(np.exp(at[last])) if last < _GRID - 1 else None
    return Crossing(value, lo, hi, None if lo and hi else "beyond_measured")


def _by_concurrency(
    figures: CellFigures, model: str, variant: str, context: Context
) -> list[tuple[int, Side]]:
    """Single-stream and closed loads, by how many requests they keep in flight."""
    found = [
        (concurrency, side)
        for side in figures.sides
        if side[:2] == (model, variant) and (concurrency := context.concurrency(side[2])) is not None
    ]
    by_number = dict(sorted(found, reverse=True))  # closed-1 and single-stream are the same point
    return sorted(by_number.items())


def _valid_blocks(figures: CellFigures, sides: Sequence[Side], pair: Pair) -> tuple[list[int], Floats]:
    """Blocks in which all sides have valid joules, and these joules (k, sides)."""
    shared = set.intersection(*(set(figures.blocks(side, side)) for side in sides))
    blocks, joules = [], []
    for block in sorted(shared):
        own = [figures.get(side, block, pair, "j_per_request") for side in sides]
        values = [one.value for one in own if one.valid and one.value is not None and one.value > 0]
        if len(values) == len(sides):
            blocks.append(block)
            joules.append(values)
    return blocks, np.array(joules, dtype=np.float64).reshape(len(blocks), len(sides))


def _saturation_rows(figures: CellFigures, loads: list[tuple[int, Side]], pair: Pair) -> list[Row]:
    sides = [side for _, side in loads]
    key = key_of("saturation", sides[-1], sides[0], pair)
    blocks, joules = _valid_blocks(figures, sides, pair)
    metrics = (("saturation_own", "J"), ("saturation_shared", "J"), ("saturation_half_at", "requests"))
    why = ("too_few_loads",) if len(sides) < MIN_LOADS else () if blocks else ("no_valid_block",)
    if why:
        return [value_row(key, name, None, unit, len(blocks), why) for name, unit in metrics]
    concurrency = np.array([number for number, _ in loads], dtype=np.float64)
    each = [saturation(concurrency, one) for one in joules]
    whole = saturation(concurrency, np.exp(np.log(joules).mean(axis=0)))
    half_at = [one.shared_j / one.own_j if one.own_j > 0 else np.nan for one in (whole, *each)]
    values = (
        (whole.own_j, [one.own_j for one in each]),
        (whole.shared_j, [one.shared_j for one in each]),
        (half_at[0], half_at[1:]),
    )
    rows = []
    for (name, unit), (value, by_block) in zip(metrics, values, strict=True):
        known = float(value) if np.isfinite(value) else None
        row = value_row(key, name, known, unit, len(blocks), () if known is not None else ("not_positive",))
        numbers = np.array(by_block)
        if len(blocks) < MIN_BLOCKS:
            row["reasons"] = sorted({*row["reasons"], "too_few_blocks"})
        elif known is not None and (numbers > 0).all() and agree(np.log(numbers)):
            row["reasons"] = ["blocks_agree"]
        elif known is not None and (numbers > 0).all():
            centre, half = student_t(np.log(numbers))
            row.update(
                lo=float(np.exp(centre - half)), hi=float(np.exp(centre + half)), interval_kind="blocks"
            )
        rows.append(row)
    rows.append(value_row(key, "saturation_misfit", whole.misfit, "ratio", len(blocks), ()))
    return rows


def _crossover_rows(
    figures: CellFigures, loads: list[tuple[int, Side]], baseline: str, pair: Pair, context: Context
) -> list[Row]:
    both = [(number, side, (side[0], baseline, side[2])) for number, side in loads]
    both = [one for one in both if one[2] in figures.sides]
    if len(both) < 2:
        return []
    key = key_of("crossover", both[-1][1], both[0][2], pair)
    sides = [side for _, side, _ in both]
    references = [reference for _, _, reference in both]
    blocks, joules = _valid_blocks(figures, [*sides, *references], pair)
    if not blocks:
        return [value_row(key, "crossover_concurrency", None, "requests", 0, ("no_valid_block",))]
    logs = np.log(joules[:, : len(sides)]) - np.log(joules[:, len(sides) :])
    found = crossing(np.array([number for number, _, _ in both], dtype=np.float64), logs)
    why = [found.reason] if found.reason else []
    if context.started_once(sides[0][1], baseline) and found.concurrency is not None:
        found, why = Crossing(found.concurrency, None, None, None), ["one_engine_start"]
    row = value_row(key, "crossover_concurrency", found.concurrency, "requests", len(blocks), tuple(why))
    if found.lo is not None or found.hi is not None:
        row.update(lo=found.lo, hi=found.hi, interval_kind="blocks")
    above = value_row(key, "costs_less_above", None, "ratio", len(blocks), tuple(why))
    if found.concurrency is not None:  # 1: less above the crossover, more below; 0: the other way round
        above.update(value=float(logs[:, -1].mean() < 0), valid=True)
    return [row, above]
