"""The rule ``phase``: what a step, a decoded token and a token of a prompt cost, fitted across the loads of a variant.

    E(step) = a + b x requests decoding + c x prompt tokens (+ d x tokens of context)

``a``, mostly the weights, is read once a step and shared by the requests that are in it. Within one load the four
are nearly collinear (single-stream: a step is a token), so they are fitted across all loads of a variant, probe
loads among them, and not at all where even that does not tell them apart (docs/attribution.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from analysis.arrays import Floats
from analysis.attribution.steps import KINDS, Work
from configs.loads import is_probe

MOST_CONDITION = 60.0
"""Of the fit's columns, each scaled to length one: beyond, an error of 1 % in joules may move a cost by half."""
STRETCH_S = 2.0  # a stretch of a window is at least this long: a sensor's edges are small in it
MOST_STRETCHES = 16
LONG_ENOUGH = 4  # rows for each cost: fewer fit anything


@dataclass(frozen=True)
class PhaseRows:
    """Hold what one cell tells of a variant's costs: J stretches of its window."""

    load: str
    work: Floats  # (J, 4) columns are ``KINDS``
    busy_j: Floats  # (J,) joules while any request was in flight


@dataclass(frozen=True)
class PhaseInput:
    """One cell's part in the rule: its work, and the joules that go with it."""

    work: Work
    busy_j: Floats  # (J,) of each stretch, while any request was in flight
    total_j: float  # of the window
    idle_j: float  # of them, drawn while none was in flight


@dataclass(frozen=True)
class PhaseCosts:
    """Joules of a step, a decoded token, a token of a prompt, and a token of context read; 0 where not used."""

    cost_j: Floats  # (4,) in the order of ``KINDS``
    condition: float  # of the scaled columns
    holdout_error: float | None  # worst load that was left out and predicted, relative; None: none could be
    loads: int
    uses_context: bool


@dataclass(frozen=True)
class PhaseFit:
    """Costs, or the reason why there are none; the condition number in any case where there was anything to fit."""

    costs: PhaseCosts | None
    condition: float | None
    reason: str | None


def stretches_of(seconds: float) -> int:
    """Say into how many stretches a window is cut for the fit."""
    return int(np.clip(seconds // STRETCH_S, 1, MOST_STRETCHES))


def fit_phase(cells: Sequence[PhaseRows]) -> PhaseFit:
    """Fit the costs of one variant to all its cells whose joules are valid.

    Relative least squares (each row over its joules) with costs that are not negative (Lawson and Hanson 1974). The
    cost of context is taken in where the columns still tell apart and a load that was left out is predicted better.

    Args:
        cells: of one model and variant; every load, and probes.
    """
    loads = sorted({cell.load for cell in cells})
    plain = _fit(cells, 3)
    if plain is None:
        return PhaseFit(None, None, "phase_not_identified")
    cost, condition = plain
    if condition > MOST_CONDITION:
        return PhaseFit(None, condition, "phase_not_identified")
    error, uses_context = _holdout(cells, loads, 3), False
    full = _fit(cells, 4)
    if full is not None and full[1] <= MOST_CONDITION:
        full_error = _holdout(cells, loads, 4)
        if full_error is not None and error is not None and full_error < error:
            (cost, condition), error, uses_context = full, full_error, True
    costs = PhaseCosts(cost, condition, error, len(loads), uses_context)
    return PhaseFit(costs, condition, None)


def _fit(cells: Sequence[PhaseRows], columns: int) -> tuple[Floats, float] | None:
    """Costs (4,) and the condition number; None where there are too few rows or nothing was done."""
    work = np.concatenate([cell.work for cell in cells]) if cells else np.zeros((0, 4))
    joules = np.concatenate([cell.busy_j for cell in cells]) if cells else np.zeros(0)
    known = np.isfinite(joules) & (joules > 0) & (work[:, 1] > 0)
    rows = work[known][:, :columns] / joules[known][:, None]
    if rows.shape[0] < LONG_ENOUGH * columns:
        return None
    length = np.linalg.norm(rows, axis=0)
    if (length == 0).any():
        return None
    scaled = rows / length
    cost, _ = nnls(scaled, np.ones(rows.shape[0]))
    whole = np.zeros(len(KINDS))
    whole[:columns] = cost / length
    return whole, float(np.linalg.cond(scaled))


def _holdout(cells: Sequence[PhaseRows], loads: Sequence[str], columns: int) -> float | None:
    """The worst relative error of a load's joules by costs that were fitted without it; of probes, none: they are what
    tells the costs apart."""
    errors = []
    for load in [load for load in loads if not is_probe(load)]:
        fit = _fit([cell for cell in cells if cell.load != load], columns)
        if fit is None or fit[1] > 2 * MOST_CONDITION:
            continue
        left_out = [cell for cell in cells if cell.load == load]
        truth = sum(float(np.nansum(cell.busy_j)) for cell in left_out)
        predicted = sum(float((cell.work @ fit[0])[np.isfinite(cell.busy_j)].sum()) for cell in left_out)
        if truth > 0:
            errors.append(abs(predicted / truth - 1))
    return max(errors, default=None)
