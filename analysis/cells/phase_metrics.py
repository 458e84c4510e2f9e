"""The rule ``phase`` for a whole run: fitted once for each variant, then applied to each of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.accuracy.outside import Outside
from analysis.arrays import Bools
from analysis.attribution.phase import PhaseFit, PhaseInput, by_phase, fit_phase, part_by_phase
from analysis.attribution.rules import Attribution
from analysis.attribution.steps import KINDS
from analysis.cells.cell import CellResult
from analysis.cells.energy_metrics import attributed_rows, energy_reasons, outside_rows
from analysis.cells.rows import Row, Rows
from traces.layout import CellKey

_NAMES = dict(zip(KINDS, ("step", "decoded_token", "prompt_token", "context_token"), strict=True))


@dataclass(frozen=True)
class PhaseCell:
    """Keep what is needed of a cell until all cells of its variant have been read."""

    result: CellResult  # without its traces
    measured: Bools  # (n,) requests
    valid: bool
    outside: Outside | None = None
    speculates: bool = False  # its engine drafted tokens


def keep(result: CellResult, *, valid: bool) -> PhaseCell | None:
    """None where the cell has no requests at all."""
    if result.measured is None:
        return None
    slim = replace(result, record=None, measured=None, attributions={})
    said = result.record is not None and result.record.served.speculation is not None
    speculates = said or result.drafts is not None  # an engine elsewhere tells by its counters alone
    return PhaseCell(slim, result.measured.requests.measured, valid, result.measured.outside, speculates)


def fit_variants(cells: Sequence[PhaseCell]) -> dict[tuple[str, str], PhaseFit]:
    """The fit of every (model, variant), to its valid cells alone."""
    fits = {}
    for name in sorted({_variant(cell.result.key) for cell in cells}):
        own = [cell for cell in cells if _variant(cell.result.key) == name]
        if any(cell.speculates for cell in own):
            fits[name] = PhaseFit(None, None, "phase_speculation")
            continue
        own = [cell for cell in own if cell.valid]
        rows = [cell.result.phase.rows(cell.result.key.load) for cell in own if cell.result.phase is not None]
        fits[name] = fit_phase(rows)
    return fits


def phase_of(cell: PhaseCell, fits: dict[tuple[str, str], PhaseFit]) -> tuple[list[Row], Attribution | None]:
    """Make the cell's rows of the rule, and say what it charges each request."""
    fit, kept = fits[_variant(cell.result.key)], cell.result.phase
    energy = cell.result.primary
    if energy is None:
        return [], None
    reasons = energy_reasons(cell.result, energy)
    why = _why_not(kept, fit, reasons)
    split = by_phase(kept, fit.costs) if kept is not None and fit.costs is not None else None
    rows = Rows(cell.result.key)
    attributed_rows(rows, "phase", split, cell.measured, energy, [*reasons, *filter(None, [why])])
    missing = [why] if why else []
    if cell.outside is not None:
        costs = fit.costs
        joules = None if kept is None or costs is None else part_by_phase(kept, costs)
        outside_rows(rows, "phase", joules, cell.outside, energy, [*reasons, *missing])
    for at, kind in enumerate(KINDS):
        cost = None if fit.costs is None else float(fit.costs.cost_j[at])
        used = kind != "context" or (fit.costs is not None and fit.costs.uses_context)
        rows.add(f"phase_{_NAMES[kind]}_j", cost if used else None, missing, energy=energy)
    rows.add("phase_condition", fit.condition, missing, energy=energy)
    error = None if fit.costs is None else fit.costs.holdout_error
    rows.add("phase_holdout_error", error, missing, energy=energy)
    return rows.rows, split


def _why_not(kept: PhaseInput | None, fit: PhaseFit, reasons: Sequence[str]) -> str | None:
    if kept is None:
        return None if reasons else "tokens_unknown"
    return fit.reason


def _variant(key: CellKey) -> tuple[str, str]:
    return key.model, key.variant
