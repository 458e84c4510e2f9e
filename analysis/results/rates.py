"""The highest rate that each variant holds within its bounds, and what a good request costs there: a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from analysis.keys import Condition
from analysis.results.boards import bounds_words
from analysis.results.points import Contrast, Point, Results
from analysis.results.sentences import compared_words, mean_words, significant, with_bounds
from traces.layout import board_of, load_asked

RATES = "What is the highest rate within the bounds?"
RATE, GOOD_J = "rate_found", "j_per_request_in_slo"
_AGAINST = ("variant_vs_baseline", "board_vs_reference")
Bounds = Mapping[str, Mapping[str, float]]
"""By load that looks for its rate, without the boards' setting: what a good request keeps, in ms."""
Found = Mapping[Condition, Mapping[int, Mapping[str, object]]]
"""Rows of ``rate_found``, by condition and block."""


def rate_sentences(results: Results, model: str, bounds: Bounds) -> list[str]:
    """Say of each variant what its searches found, against the baseline, or against boards as they were found."""
    if not bounds:
        return []
    points = [point for point in results.points_of(model) if load_asked(point.load) in bounds]
    rates = rates_found(results)
    return [
        _sentence(results, point, rates.get(point.condition, {}), bounds[load_asked(point.load)])
        for point in points
    ]


def rates_found(results: Results) -> Found:
    """Return the rows of rates that were looked for, valid or not; nothing where no load looks for its rate."""
    rates: dict[Condition, dict[int, Mapping[str, object]]] = {}
    for row in results.cell_rows:
        if row["metric"] == RATE:
            rates.setdefault(Condition.of(row), {})[row["block"]] = row
    return rates


def _sentence(
    results: Results, point: Point, rows: Mapping[int, Mapping[str, object]], slo_ms: Mapping[str, float]
) -> str:
    place, kept = f"{point.variant} under {point.load}", bounds_words(slo_ms)
    if point.mean(RATE) is None:
        return f"{place}: {_not_found(rows, kept)}"
    parts = [f"{_rate(point)} requests/s within {kept}{_missing(rows, point)}"]
    if point.mean(GOOD_J) is not None:
        shown = mean_words(point, GOOD_J, level="95 %: ")
        parts.append(f"{shown} {results.joules_words} there, of requests that kept them")
    return f"{place}: {'; '.join((*parts, *_beside(results, point)))}"


def _rate(point: Point) -> str:
    """Return the mean with its interval over blocks; of a single block with that of its search."""
    known, (bounds, *others) = point.interval(RATE), point.bounds[RATE]
    if known is None and bounds is not None and not others:
        return with_bounds(point.mean(RATE), *bounds, level="95 %, of its search: ")
    return mean_words(point, RATE, level="95 %: ")


def _not_found(rows: Mapping[int, Mapping[str, object]], kept: str) -> str:
    """Say why there is no rate: none holds, none failed, or no window told."""
    codes = {str(code) for row in rows.values() for code in _codes(row)}
    values = [value for row in rows.values() if isinstance(value := row["value"], float)]
    if codes == {"no_rate_holds"}:
        return f"no rate keeps {kept}"
    if codes == {"rate_at_least"}:
        return f"at least {significant(min(values))} requests/s keep {kept}: no rate failed"
    return f"no rate is known to keep {kept} ({', '.join(sorted(codes)) or 'not_measured'})"


def _missing(rows: Mapping[int, Mapping[str, object]], point: Point) -> str:
    """Of how many blocks a mean is, where some found none."""
    known = len(point.values.get(RATE, ()))
    if known == point.blocks:
        return ""
    why = sorted({str(code) for row in rows.values() for code in _codes(row)})
    return f" in {known} of {point.blocks} blocks ({', '.join(why) or 'not_measured'})"


def _codes(row: Mapping[str, object]) -> list[object]:
    reasons = row["reasons"]
    return list(reasons) if isinstance(reasons, list | tuple) else []


def _beside(results: Results, point: Point) -> Iterator[str]:
    contrasts = (
        contrast for contrast in results.of(point.model, *_AGAINST) if contrast.side == point.condition
    )
    for contrast in contrasts:
        than = _reference(contrast)
        for name, of, verb in (
            (RATE, "requests/s", "holds"),
            (GOOD_J, f"{results.joules_words} that kept them", "costs"),
        ):
            words = compared_words(contrast, f"{name}_ratio", of=of, than=than, verb=verb)
            if words is not None:
                yield words


def _reference(contrast: Contrast) -> str:
    if contrast.kind == "variant_vs_baseline":
        return contrast.reference_variant
    return str(board_of(contrast.reference_load))
