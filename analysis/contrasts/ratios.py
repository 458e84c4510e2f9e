"""The rows of ``tables/contrasts``: batched against single-stream, each variant against baseline and control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.cells.cell import Context
from analysis.cells.rows import Row
from analysis.contrasts.curves import curve_rows
from analysis.contrasts.families import Family, family_rows
from analysis.contrasts.gain import gain_of_ratio, gain_rows
from analysis.contrasts.paired_blocks import CellFigures, Side, key_of, paired_blocks, ratio_row, value_row
from analysis.contrasts.statistics import RatioEstimate, paired_ratio


def contrast_rows(rows: Sequence[Row], context: Context) -> list[Row]:
    """All contrasts that the cells allow, in a fixed order."""
    figures = CellFigures(rows, context.nodes)
    found: list[Row] = []
    for pair in figures.boundaries:
        families: list[Family] = []
        for side in figures.sides:
            batched, factor = _batched(figures, side, pair, context)
            variant, ratios = _against_baseline(figures, side, pair, context)
            found += [*batched, *variant]
            families += [*([] if factor is None else [factor]), *ratios]
        found += family_rows(families)
        found += curve_rows(figures, pair, context)
    return found


def _batched(
    figures: CellFigures, side: Side, pair: tuple[str, str], context: Context
) -> tuple[list[Row], Family | None]:
    """What single-stream costs over this load, same variant: paired within blocks, each at its own rate."""
    model, variant, load = side
    singles = [
        other
        for other in figures.sides
        if other[:2] == (model, variant) and context.kind(other[2]) == "single_stream"
    ]
    if context.kind(load) == "single_stream" or not singles:
        return [], None
    single = singles[0]
    key = key_of("batched_vs_single", side, single, pair)
    used, why = paired_blocks(figures, single, side, pair, "j_per_request")
    factor = _ratio(figures, single, side, pair, "j_per_request")
    rows = [ratio_row(key, "energy_factor", factor, ())]
    rows += gain_rows(key, "energy_factor", factor, gain_of_ratio(figures, single, side, pair))
    rows.append(
        ratio_row(key, "energy_factor_net", _ratio(figures, single, side, pair, "j_per_request_net"), ())
    )

    def mean(of: Side, metric: str, where: tuple[str, str] | None) -> float | None:
        return _mean([figures.get(of, block, where, metric).value for block in used])

    rows.append(
        value_row(key, "single_rate", mean(single, "request_rate", None), "requests/s", len(used), why)
    )
    rows.append(
        value_row(key, "batched_rate", mean(side, "request_rate", None), "requests/s", len(used), why)
    )
    gross = [mean(of, "j_per_request", pair) for of in (single, side)]
    idle = [mean(of, "j_per_request_idle", pair) for of in (single, side)]
    for name, idle_j, gross_j in zip(("single_idle_share", "batched_idle_share"), idle, gross, strict=True):
        share = None if idle_j is None or not gross_j else idle_j / gross_j
        rows.append(value_row(key, name, share, "ratio", len(used), why or _unless(share, "no_idle")))
    saved = None
    if idle[0] is not None and idle[1] is not None and gross[0] and gross[1] and gross[0] != gross[1]:
        saved = (idle[0] - idle[1]) / (gross[0] - gross[1])
    rows.append(value_row(key, "idle_share", saved, "ratio", len(used), why or _unless(saved, "no_idle")))
    return rows, Family(key, "energy_factor", factor)


def _against_baseline(
    figures: CellFigures, side: Side, pair: tuple[str, str], context: Context
) -> tuple[list[Row], list[Family]]:
    """What this variant costs over the baseline under the same load; and over its control, where it has one."""
    references = {
        "variant_vs_baseline": context.baseline,
        "variant_vs_control": context.controls.get(side[1]),
    }
    rows: list[Row] = []
    families: list[Family] = []
    for contrast, reference in references.items():
        other = None if reference is None else (side[0], reference, side[2])
        if other is None or side == other or other not in figures.sides:
            continue
        own, family = _against(key_of(contrast, side, other, pair), figures, (side, other), pair, context)
        rows += own
        families += [family] if family is not None else []
    return rows, families


def _against(
    key: Row, figures: CellFigures, sides: tuple[Side, Side], pair: tuple[str, str], context: Context
) -> tuple[list[Row], Family | None]:
    """The ratios of one variant over another under the same load; log J/request = tokens + J/token."""
    side, reference = sides
    why = ("one_engine_start",) if context.started_once(side[1], reference[1]) else ()
    metrics = (
        ("j_per_request", pair),
        ("j_per_output_token", pair),
        ("tokens_per_request", None),
        ("request_rate", None),  # 1: at equal delivered rate; else each at what it can do
    )
    found = {metric: _ratio(figures, side, reference, where, metric) for metric, where in metrics}
    rows = [ratio_row(key, f"{metric}_ratio", estimate, why) for metric, estimate in found.items()]
    gain = gain_of_ratio(figures, side, reference, pair)
    for metric in ("j_per_request", "j_per_output_token"):
        rows += gain_rows(key, f"{metric}_ratio", found[metric], gain)
    return rows, None if why else Family(key, "j_per_request_ratio", found["j_per_request"])


def _ratio(
    figures: CellFigures, top: Side, bottom: Side, pair: tuple[str, str] | None, metric: str
) -> RatioEstimate:
    used, why = paired_blocks(figures, top, bottom, pair, metric)
    sides = ([figures.get(side, block, pair, metric).value for block in used] for side in (top, bottom))
    numerators, denominators = ([value for value in values if value is not None] for values in sides)
    estimate = paired_ratio(numerators, denominators)
    if "node_confounded" in why:  # how much its blocks scatter says nothing of how much nodes differ
        estimate = RatioEstimate(estimate.ratio, None, None, estimate.blocks, ())
    return replace(estimate, reasons=tuple(sorted({*why, *estimate.reasons})) if used else why)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _unless(value: float | None, reason: str) -> tuple[str, ...]:
    return () if value is not None else (reason,)
