"""The answer in words: by what factor batching pays, and what each variant costs and keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.opened import OpenedRun
from analysis.results.points import Contrast, Results, read_results
from analysis.results.sentences import compared_words, effect_words, significant
from traces.layout import RunDir

ESTIMATED = "estimated, not measured: CPU time x watts"
MEMORISED = "memorised the tasks: its pass@1 says what compression damages, nothing about programming ability"


@dataclass(frozen=True)
class HeadlineLine:
    """One statement, and the figures that it rests on."""

    model: str
    kind: str  # batched_vs_single or variant_vs_baseline
    variant: str
    load: str
    text: str
    value: float | None
    lo: float | None
    hi: float | None
    reasons: tuple[str, ...]
    estimated: bool


def headline(run: RunDir) -> list[HeadlineLine]:
    """Say what the run shows, a line each: all factors of batching first, then the variants.

    Raises:
        TraceError: the run has not been analysed.
    """
    return headline_of(read_results(OpenedRun(run)))


def headline_of(results: Results) -> list[HeadlineLine]:
    """Do what ``headline`` does for results that are already read."""
    return [
        HeadlineLine(
            model=contrast.model,
            kind=kind,
            variant=contrast.variant,
            load=contrast.load,
            text=words(results, contrast, row),
            value=row["value"],
            lo=row["lo"],
            hi=row["hi"],
            reasons=tuple(row["reasons"]),
            estimated=results.estimated,
        )
        for kind, metric, words in (
            ("batched_vs_single", "energy_factor", _batched),
            ("variant_vs_baseline", "j_per_request_ratio", _variant),
        )
        for contrast in results.contrasts
        if contrast.kind == kind and (row := contrast.metrics.get(metric)) is not None
    ]


def note_of(results: Results) -> str:
    """Return what stands after every title with joules: that they are estimated; nothing where they were measured."""
    return f" ({ESTIMATED})" if results.estimated else ""


def interval_words(row: Mapping[str, Any]) -> str:
    """Write ``95 %: 3.1 to 4.2; 5 blocks``, or why there is no interval."""
    blocks = f"{row['blocks']} block{'s' if row['blocks'] != 1 else ''}"
    if row["lo"] is not None and row["hi"] is not None:
        return f"95 %: {significant(row['lo'])} to {significant(row['hi'])}; {blocks}"
    if row["blocks"] == 1:
        return f"in the one block there is, so nothing can be said: {', '.join(row['reasons'])}"
    return f"no interval: {', '.join(row['reasons'])}; {blocks}"


def _batched(results: Results, contrast: Contrast, row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return f"{contrast.variant}, {contrast.load}: no valid comparison ({', '.join(row['reasons'])})"
    if row["lo"] is not None and row["lo"] <= 1 <= row["hi"]:
        visible = contrast.metrics.get("energy_factor_smallest_visible")
        words = effect_words(row, visible, of=results.joules_words, than=contrast.load)
        return f"{contrast.variant}, {contrast.reference_load}: {words}"
    rates = [contrast.value(metric) for metric in ("single_rate", "batched_rate")]
    return (
        f"{contrast.variant}: {contrast.reference_load} costs {significant(row['value'])} times "
        f"the {results.joules_words} of {contrast.load} ({interval_words(row)}), "
        f"at {significant(rates[0])} and {significant(rates[1])} requests/s"
    )


def _variant(results: Results, contrast: Contrast, row: Mapping[str, Any]) -> str:
    text = f"{contrast.variant}, {contrast.load}: "
    than = contrast.reference_variant
    words = compared_words(contrast, "j_per_request_ratio", of=results.joules_words, than=than)
    text += words or f"no valid comparison with {than} ({', '.join(row['reasons'])})"
    points = (results.point(side) for side in (contrast.side, contrast.reference))
    passed = [point.mean("pass_at_1_plus") if point else None for point in points]
    if None in passed:
        return text + "; pass@1 not known"
    what = "base and plus, of memorised tasks" if contrast.model in results.memorised else "base and plus"
    what += f"; {results.tasks_words}" if results.tasks_words else ""
    return text + f"; pass@1 ({what}) {passed[0]:.2f} against {passed[1]:.2f}"
