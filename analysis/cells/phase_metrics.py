"""The rule ``phase`` for a whole run: fitted once for each variant, then applied to all of its cells together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.arrays import Bools, Floats, Ints
from analysis.attribution.phase import PhaseFit, PhaseInput, PhaseRows, fit_phase
from analysis.attribution.steps import KINDS
from analysis.cells.cell import CellResult
from analysis.cells.energy_metrics import energy_reasons
from analysis.keys import MeterKey
from analysis.requests.slabs import sums
from traces.layout import CellKey, board_of

_PARTS = ("measured", "other", "unattributed")
PERCENTILES = (10, 50, 90, 99)
_COSTS = ("step", "decoded_token", "prompt_token", "context_token")
OUTSIDE = "j_per_request_outside_solution_phase"
METRICS = (
    *(f"energy_phase_{part}_j" for part in _PARTS),
    *(f"energy_phase_request_p{q}_j" for q in PERCENTILES),
    OUTSIDE,
    *(f"phase_{name}_j" for name in _COSTS),
    "phase_condition",
    "phase_holdout_error",
)
"""In the order of the table; those before ``phase_step_j`` are this cell's joules, the others its variant's costs."""
_OF_THE_CELL = METRICS.index(OUTSIDE) + 1


class FitRow(NamedTuple):
    """A cell that the fit looks at, and nothing else of it."""

    key: CellKey
    rows: PhaseRows | None
    """Its work and its joules; None where it has none."""
    counts: bool
    """Whether its joules are valid, so that the fit takes it."""
    speculates: bool
    """Whether its engine drafted tokens."""


_Fitted = tuple[str, str, str]
"""Model, variant, and what the boards were set to: each has costs of its own."""


@dataclass(frozen=True)
class PhasePart:
    """Keep what the rule needs of a cell until all cells of its variant have been read."""

    key: CellKey
    meter: MeterKey | None  # of the primary boundary; None: it has no power
    against: tuple[str, ...]  # reasons against its joules
    counts: bool  # its joules are valid, so that the fit takes it
    measured: Bools  # (n,) requests
    input: PhaseInput | None
    outside_known: float | None  # requests whose code is known; None: the cell is not graded
    speculates: bool = False  # its engine drafted tokens


@dataclass(frozen=True)
class PhaseCells:
    """Hold all cells of a run that have a window and power, one after the other: c cells, n requests."""

    keys: Sequence[CellKey]
    against: Sequence[tuple[str, ...]]  # (c,)
    known: Bools  # (c,) has work; without it the rows below are empty, and joules NaN
    work: Floats  # (n, 4) of every request
    starts: Ints  # (c + 1,) into the requests
    measured: Bools  # (n,)
    outside_work: Floats  # (c, 4) NaN where not known
    outside_known: Floats  # (c,) NaN where the cell is not graded
    total_j: Floats  # (c,)
    idle_j: Floats  # (c,)


@dataclass(frozen=True)
class PhaseFigures:
    """Hold the figures of these cells by ``METRICS``, and what the rule charges each request."""

    values: Floats  # (c, metrics) NaN where there is none
    reasons: Sequence[tuple[tuple[str, ...], ...]]  # (c, metrics) what stands against each
    shown: Bools  # (c, metrics) whether the cell has such a row
    request_j: Floats  # (n,) NaN where the rule does not apply


def keep(result: CellResult, *, valid: bool) -> PhasePart | None:
    """Keep what the rule needs of a cell; None where it has no requests at all."""
    if result.measured is None:
        return None
    said = result.record is not None and result.record.served.speculation is not None
    energy, outside = result.primary, result.measured.outside
    return PhasePart(
        key=result.key,
        meter=None if energy is None else MeterKey(energy.boundary, energy.source),
        against=() if energy is None else tuple(energy_reasons(result, energy)),
        counts=valid,
        measured=result.measured.requests.measured,
        input=result.phase,
        outside_known=None if outside is None else float(outside.known.sum()),
        speculates=said or result.drafts is not None,  # an engine elsewhere tells by its counters alone
    )


def fit_variants(cells: Iterable[FitRow]) -> dict[_Fitted, PhaseFit]:
    """Fit every variant of a model at a setting of the boards to its valid cells alone.

    None where the engine of any of these cells drafted tokens.
    """
    by_variant: dict[_Fitted, list[FitRow]] = {}
    for cell in cells:
        by_variant.setdefault(_variant(cell.key), []).append(cell)
    fits = {}
    for variant, of_variant in sorted(by_variant.items()):
        rows = [cell.rows for cell in of_variant if cell.counts]
        drafted = any(cell.speculates for cell in of_variant)
        known = [row for row in rows if row is not None]
        fits[variant] = PhaseFit(None, None, "phase_speculation") if drafted else fit_phase(known)
    return fits


def phase_figures(cells: PhaseCells, fits: dict[_Fitted, PhaseFit]) -> PhaseFigures:
    """Apply the fits of the cells' variants to all of them."""
    of = [fits[_variant(key)] for key in cells.keys]
    cost = np.array([np.full(4, np.nan) if fit.costs is None else fit.costs.cost_j for fit in of]).reshape(
        -1, 4
    )
    applies = cells.known & np.isfinite(cost).all(axis=1)
    sizes = np.diff(cells.starts)
    weights = np.einsum("ij,ij->i", cells.work, np.repeat(cost, sizes, axis=0))
    everything = np.where(applies, sums(weights, cells.starts), np.nan)
    charged = everything > 0
    scale = np.where(charged, (cells.total_j - cells.idle_j) / np.where(charged, everything, 1.0), 0.0)
    scale[~applies] = np.nan
    request_j = weights * np.repeat(scale, sizes)
    values = np.full((len(of), len(METRICS)), np.nan)
    values[:, 0] = sums(np.where(cells.measured, request_j, 0.0), cells.starts)
    values[:, 1] = sums(np.where(cells.measured, 0.0, request_j), cells.starts)
    values[:, 2] = np.where(charged, cells.idle_j, cells.total_j)
    values[:, 3 : 3 + len(PERCENTILES)] = _percentiles(request_j, cells.measured, cells.starts)
    values[~applies, : _OF_THE_CELL - 1] = np.nan
    outside_j = (cells.outside_work * cost).sum(axis=1) * np.where(charged, scale, np.nan)
    some = cells.outside_known > 0
    values[:, _OF_THE_CELL - 1] = np.where(some, outside_j / np.where(some, cells.outside_known, 1.0), np.nan)
    values[:, _OF_THE_CELL:] = [_costs(fit) for fit in of] if of else values[:, _OF_THE_CELL:]
    shown = np.ones(values.shape, dtype=np.bool_)
    shown[:, _OF_THE_CELL - 1] = np.isfinite(cells.outside_known)
    return PhaseFigures(values, _reasons(cells, of), shown, request_j)


def _costs(fit: PhaseFit) -> list[float]:
    """NaN where there is none."""
    costs, nothing = fit.costs, float("nan")
    condition = nothing if fit.condition is None else fit.condition
    if costs is None:
        return [*[nothing] * len(KINDS), condition, nothing]
    used = [*costs.cost_j.tolist()[:-1], float(costs.cost_j[-1]) if costs.uses_context else nothing]
    return [*used, condition, nothing if costs.holdout_error is None else costs.holdout_error]


def _reasons(cells: PhaseCells, fits: Sequence[PhaseFit]) -> list[tuple[tuple[str, ...], ...]]:
    reasons = []
    of_costs = len(METRICS) - _OF_THE_CELL
    for against, known, graded, fit in zip(
        cells.against, cells.known.tolist(), cells.outside_known.tolist(), fits, strict=True
    ):
        why = fit.reason if known else None if against else "tokens_unknown"
        missing = (why,) if why else ()
        codes = (*against, *missing)
        outside = codes if graded else (*codes, "solution_unknown")
        reasons.append((*[codes] * (_OF_THE_CELL - 1), outside, *[missing] * of_costs))
    return reasons


def _percentiles(values: Floats, chosen: Bools, starts: Ints) -> Floats:
    """Compute the ``PERCENTILES`` of each cell's chosen values (linear interpolation), (c, 4); NaN of none."""
    of_cell = np.repeat(np.arange(starts.size - 1), np.diff(starts))[chosen]
    ordered = values[chosen]
    ordered = ordered[np.lexsort((ordered, of_cell))]
    counts = np.bincount(of_cell, minlength=starts.size - 1)
    first = np.concatenate(([0], np.cumsum(counts)))[:-1]
    quantiles = np.full((counts.size, len(PERCENTILES)), np.nan)
    some = counts > 0
    for column, q in enumerate(PERCENTILES):
        place = q / 100 * (counts[some] - 1)
        below = np.floor(place).astype(np.int64)
        low = ordered[first[some] + below]
        high = ordered[first[some] + np.minimum(below + 1, counts[some] - 1)]
        quantiles[some, column] = low + (high - low) * (place - below)
    return quantiles


def _variant(key: CellKey) -> _Fitted:
    return key.model, key.variant, board_of(key.load) or ""
