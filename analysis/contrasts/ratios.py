"""The rows of ``tables/contrasts``: batched against single-stream, each variant against baseline and control, each
setting of the boards against the study's reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from analysis.arrays import mean
from analysis.cells.context import Context
from analysis.cells.rows import Row, ratio
from analysis.contrasts.curves import curve_rows
from analysis.contrasts.families import PairedComparison, family_rows
from analysis.contrasts.gain import gain_of_ratio, gain_rows
from analysis.contrasts.paired_blocks import CellFigures, key_of, paired_blocks, ratio_row, value_row
from analysis.contrasts.starts import THESE_STARTS, StartOf, ratio_over_starts
from analysis.contrasts.statistics import RatioEstimate, no_ratio
from analysis.keys import Condition, MeterKey
from analysis.metrics import metric
from traces.layout import board_of

_AGAINST = ("j_per_request", "j_per_output_token", "tokens_per_request", "request_rate")
"""What of a variant is set over its reference: log J/request = log tokens/request + log J/token; a ratio of rates of 1
is a comparison at equal delivered rate."""
_OF_A_SEARCH = ("rate_found", "j_per_request_in_slo")
"""The same of a load that looks for its rate: each variant at the highest that it holds."""
_BY_METER = ("j_per_request", "j_per_output_token")


def contrast_rows(rows: Sequence[Row], context: Context) -> list[Row]:
    """Return all contrasts that the cells allow, in a fixed order."""
    figures = CellFigures(rows, context.nodes)
    contrasts: list[Row] = []
    for meter in figures.meters:
        comparisons: list[PairedComparison] = []
        for side in figures.sides:
            for comparison, more in (
                _batched(figures, side, meter, context),
                *_variants(figures, side, meter, context),
            ):
                contrasts += more
                comparisons += [] if comparison is None else [comparison]
        contrasts += family_rows(comparisons)
        contrasts += curve_rows(figures, meter, context)
    return contrasts


_Compared = tuple[PairedComparison | None, list[Row]]


def single_stream_of(side: Condition, sides: Iterable[Condition], context: Context) -> Condition | None:
    """Find the same variant, boards set alike, one request at a time; None where that is ``side``, or not measured.

    None too where one of the two was asked prompts of recorded lengths: requests of other lengths are no reference.
    """
    if side.load in context.made_up:
        return None
    if context.kind(side.load) == "single_stream":
        return None
    same = (
        other
        for other in sides
        if other[:2] == side[:2]
        and board_of(other.load) == board_of(side.load)
        and context.kind(other.load) == "single_stream"
    )
    return next(same, None)


def _batched(figures: CellFigures, side: Condition, meter: MeterKey, context: Context) -> _Compared:
    """Compute what single-stream costs over this load, same variant: paired within blocks, each at its own rate."""
    single = single_stream_of(side, figures.sides, context)
    if single is None:
        return None, []
    key = key_of("batched_vs_single", side, single, meter)
    used, why = paired_blocks(figures, single, side, meter, "j_per_request")
    factor = _ratio(figures, single, side, meter, "j_per_request")
    net = _ratio(figures, single, side, meter, "j_per_request_net")
    rows = [ratio_row(key, "energy_factor", factor), ratio_row(key, "energy_factor_net", net)]
    rows += gain_rows(key, "energy_factor", factor, gain_of_ratio(figures, single, side, meter))

    def means(metric: str, where: MeterKey | None) -> list[float | None]:
        return [
            _mean([figures.get(of, block, where, metric).value for block in used]) for of in (single, side)
        ]

    rates = zip(("single_rate", "batched_rate"), means("request_rate", None), strict=True)
    rows += [value_row(key, name, rate, len(used), why) for name, rate in rates]
    idle_j, gross_j = means("j_per_request_idle", meter), means("j_per_request", meter)
    shares = {
        "single_idle_share": ratio(idle_j[0], gross_j[0]),
        "batched_idle_share": ratio(idle_j[1], gross_j[1]),
        "idle_share": ratio(_less(*idle_j), _less(*gross_j)),
    }
    for name, share in shares.items():
        rows.append(
            value_row(key, name, share, len(used), why or (() if share is not None else ("no_idle",)))
        )
    return PairedComparison(key, "energy_factor", factor), rows


def _variants(
    figures: CellFigures, side: Condition, meter: MeterKey, context: Context
) -> Iterator[_Compared]:
    """Compute what this variant costs over the baseline and over its control, where it has one, under the same load;
    and over itself on boards that are set as the study's reference is."""
    references = {
        "variant_vs_baseline": side._replace(variant=context.baseline or side.variant),
        "variant_vs_control": side._replace(variant=context.controls.get(side.variant, side.variant)),
        "board_vs_reference": side._replace(load=context.reference_board(side.load)),
    }
    for contrast, other in references.items():
        if other == side or other not in figures.sides:
            continue
        key = key_of(contrast, side, other, meter)
        start_of, why = _starts(side.variant, other.variant, context)
        searched = _OF_A_SEARCH if context.kind(side.load) == "find_rate" else ()
        estimates = {
            name: _ratio(figures, side, other, meter if metric(name).each_boundary else None, name, start_of)
            for name in (*_AGAINST, *searched)
        }
        rows = [ratio_row(key, f"{name}_ratio", estimate, why) for name, estimate in estimates.items()]
        gain = gain_of_ratio(figures, side, other, meter)
        for name in _BY_METER:
            rows += gain_rows(key, f"{name}_ratio", estimates[name], gain)
        joules = estimates["j_per_request"]
        of_these = why or joules.kind == THESE_STARTS
        yield None if of_these else PairedComparison(key, "j_per_request_ratio", joules), rows
        if searched:
            rates = estimates["rate_found"]
            of_these = why or rates.kind == THESE_STARTS
            yield None if of_these else PairedComparison(key, "rate_found_ratio", rates), []


def _starts(variant: str, other: str, context: Context) -> tuple[StartOf | None, tuple[str, ...]]:
    """Return which blocks share a start of both engines, None where none do, and why there is no interval.

    Settings of the boards are compared on one variant, and measured on the same start of it: what it adds cancels.
    """
    if variant == other:
        return None, ()
    if context.took_turns(variant, other):
        return context.start_of, ()
    return None, ("one_engine_start",) if context.started_once(variant, other) else ()


def _ratio(
    figures: CellFigures,
    top: Condition,
    bottom: Condition,
    meter: MeterKey | None,
    name: str,
    start_of: StartOf | None = None,
) -> RatioEstimate:
    """Pair blocks; with ``start_of`` blocks of one engine start are no more than one sample of what starts do."""
    used, why = paired_blocks(figures, top, bottom, meter, name)
    if not used:
        return no_ratio(*why)
    above, below = (figures.good(side, meter, name) for side in (top, bottom))
    starts = used if start_of is None else list(map(start_of, used))
    estimate = ratio_over_starts([above[block] for block in used], [below[block] for block in used], starts)
    if "node_confounded" in why:  # how much its blocks scatter says nothing of how much nodes differ
        estimate = RatioEstimate(estimate.ratio, None, None, estimate.blocks, ())
    return replace(estimate, reasons=tuple(sorted({*why, *estimate.reasons})))


def _mean(values: list[float | None]) -> float | None:
    """Return the mean, where all are known."""
    return None if None in values else mean(np.array(values))


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
