"""The rows of ``tables/contrasts``: batched against single-stream, each variant against baseline and control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.cell import Context
from analysis.metrics import Row
from analysis.statistics import RatioEstimate, paired_ratio

_Side = tuple[str, str, str]  # model, variant, load


@dataclass(frozen=True)
class _Figure:
    value: float | None
    valid: bool
    reasons: tuple[str, ...]


class CellFigures:
    """Cell rows by what they are of: the figures that contrasts are made from."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._figures: dict[tuple[Any, ...], _Figure] = {}
        self.sides: list[_Side] = sorted({(row["model"], row["variant"], row["load"]) for row in rows})
        self._blocks: dict[_Side, set[int]] = {}
        self.boundaries: list[tuple[str, str]] = sorted(
            {(row["boundary"], row["source"]) for row in rows if row["boundary"] is not None}
        )
        for row in rows:
            side = (row["model"], row["variant"], row["load"])
            self._blocks.setdefault(side, set()).add(row["block"])
            place = (*side, row["block"], row["boundary"], row["source"], row["metric"])
            self._figures[place] = _Figure(row["value"], row["valid"], tuple(row["reasons"]))

    def blocks(self, one: _Side, other: _Side) -> list[int]:
        """Blocks that both sides have."""
        return sorted(self._blocks.get(one, set()) & self._blocks.get(other, set()))

    def get(self, side: _Side, block: int, pair: tuple[str, str] | None, metric: str) -> _Figure:
        """A figure; one that is not in the table is invalid for the reasons of the cell's window."""
        boundary, source = pair or (None, None)
        found = self._figures.get((*side, block, boundary, source, metric))
        if found is not None:
            return found
        window = self._figures.get((*side, block, None, None, "window_s"))
        return _Figure(None, False, (window.reasons if window and window.reasons else ("no_power",)))


def contrast_rows(rows: Sequence[Row], context: Context) -> list[Row]:
    """All contrasts that the cells allow, in a fixed order."""
    figures = CellFigures(rows)
    found: list[Row] = []
    for pair in figures.boundaries:
        for side in figures.sides:
            found += _batched(figures, side, pair, context)
            found += _against_baseline(figures, side, pair, context)
    return found


def _batched(figures: CellFigures, side: _Side, pair: tuple[str, str], context: Context) -> list[Row]:
    """What single-stream costs over this load, same variant: paired within blocks, each at its own rate."""
    model, variant, load = side
    singles = [
        other
        for other in figures.sides
        if other[:2] == (model, variant) and context.kind(other[2]) == "single_stream"
    ]
    if context.kind(load) == "single_stream" or not singles:
        return []
    single = singles[0]
    key = _key("batched_vs_single", side, single, pair)
    used, why = _paired(figures, single, side, pair, "j_per_request")
    rows = [_ratio_row(key, "energy_factor", _ratio(figures, single, side, pair, "j_per_request"), ())]
    rows.append(
        _ratio_row(key, "energy_factor_net", _ratio(figures, single, side, pair, "j_per_request_net"), ())
    )

    def mean(of: _Side, metric: str, where: tuple[str, str] | None) -> float | None:
        return _mean([figures.get(of, block, where, metric).value for block in used])

    rows.append(
        _value_row(key, "single_rate", mean(single, "request_rate", None), "requests/s", len(used), why)
    )
    rows.append(
        _value_row(key, "batched_rate", mean(side, "request_rate", None), "requests/s", len(used), why)
    )
    gross = [mean(of, "j_per_request", pair) for of in (single, side)]
    idle = [mean(of, "j_per_request_idle", pair) for of in (single, side)]
    for name, idle_j, gross_j in zip(("single_idle_share", "batched_idle_share"), idle, gross, strict=True):
        share = None if idle_j is None or not gross_j else idle_j / gross_j
        rows.append(_value_row(key, name, share, "ratio", len(used), why or _unless(share, "no_idle")))
    saved = None
    if idle[0] is not None and idle[1] is not None and gross[0] and gross[1] and gross[0] != gross[1]:
        saved = (idle[0] - idle[1]) / (gross[0] - gross[1])
    rows.append(_value_row(key, "idle_share", saved, "ratio", len(used), why or _unless(saved, "no_idle")))
    return rows


def _against_baseline(
    figures: CellFigures, side: _Side, pair: tuple[str, str], context: Context
) -> list[Row]:
    """What this variant costs over the baseline under the same load; and over its control, where it has one."""
    references = {
        "variant_vs_baseline": context.baseline,
        "variant_vs_control": context.controls.get(side[1]),
    }
    rows: list[Row] = []
    for contrast, reference in references.items():
        if reference is not None:
            rows += _against(contrast, figures, side, (side[0], reference, side[2]), pair, context)
    return rows


def _against(
    contrast: str,
    figures: CellFigures,
    side: _Side,
    reference: _Side,
    pair: tuple[str, str],
    context: Context,
) -> list[Row]:
    """The ratios of one variant over another under the same load; log J/request = tokens + J/token."""
    if side == reference or reference not in figures.sides:
        return []
    key = _key(contrast, side, reference, pair)
    why = ("one_engine_start",) if context.one_engine_start else ()
    metrics = (("j_per_request", pair), ("j_per_output_token", pair), ("tokens_per_request", None))
    return [
        _ratio_row(key, f"{metric}_ratio", _ratio(figures, side, reference, where, metric), why)
        for metric, where in metrics
    ]


def _key(contrast: str, side: _Side, reference: _Side, pair: tuple[str, str]) -> Row:
    return {
        "model": side[0],
        "contrast": contrast,
        "variant": side[1],
        "reference_variant": reference[1],
        "load": side[2],
        "reference_load": reference[2],
        "boundary": pair[0],
        "source": pair[1],
    }


def _paired(
    figures: CellFigures, one: _Side, other: _Side, pair: tuple[str, str] | None, metric: str
) -> tuple[list[int], tuple[str, ...]]:
    """Blocks in which both sides are valid and positive; where there is none, the reasons."""
    used, reasons = [], {"no_valid_block"}
    for block in figures.blocks(one, other):
        both = [figures.get(side, block, pair, metric) for side in (one, other)]
        positive = all(figure.value is not None and figure.value > 0 for figure in both)
        if positive and all(figure.valid for figure in both):
            used.append(block)
        else:
            reasons.update(reason for figure in both for reason in figure.reasons)
            if all(figure.valid for figure in both):
                reasons.add("not_positive")
    return used, () if used else tuple(sorted(reasons))


def _ratio(
    figures: CellFigures, top: _Side, bottom: _Side, pair: tuple[str, str] | None, metric: str
) -> RatioEstimate:
    used, why = _paired(figures, top, bottom, pair, metric)
    sides = ([figures.get(side, block, pair, metric).value for block in used] for side in (top, bottom))
    numerators, denominators = ([value for value in values if value is not None] for values in sides)
    estimate = paired_ratio(numerators, denominators)
    return RatioEstimate(estimate.ratio, estimate.lo, estimate.hi, estimate.blocks, why or estimate.reasons)


def _ratio_row(key: Row, metric: str, estimate: RatioEstimate, no_interval: tuple[str, ...]) -> Row:
    """A ratio; ``no_interval`` says why an interval that could be computed is not given."""
    reasons = sorted({*estimate.reasons, *no_interval})
    shown = not no_interval and estimate.lo is not None
    return {
        **key,
        "blocks": estimate.blocks,
        "metric": metric,
        "value": estimate.ratio,
        "unit": "ratio",
        "lo": estimate.lo if shown else None,
        "hi": estimate.hi if shown else None,
        "interval_kind": "blocks" if shown else None,
        "valid": estimate.ratio is not None,
        "reasons": reasons,
    }


def _value_row(
    key: Row, metric: str, value: float | None, unit: str, blocks: int, reasons: tuple[str, ...]
) -> Row:
    return {
        **key,
        "blocks": blocks,
        "metric": metric,
        "value": value,
        "unit": unit,
        "lo": None,
        "hi": None,
        "interval_kind": None,
        "valid": value is not None,
        "reasons": sorted(reasons),
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _unless(value: float | None, reason: str) -> tuple[str, ...]:
    return () if value is not None else (reason,)
