"""The report's tables of conclusions: tests, curves, pass@1, attribution, and steadiness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.report.sections import Table
from analysis.results.headline import significant
from analysis.results.points import Contrast, Results

_PRIMARY = {"batched_vs_single": "energy_factor", "variant_vs_baseline": "j_per_request_ratio"}
_SHOWN = {"batched_vs_single": "single-stream over batched", "variant_vs_baseline": "variant over baseline"}
EQUAL_RATE = 0.02  # rates that differ by less were the same
_ATTRIBUTION = (
    ("J/step", "phase_step_j"),
    ("J/decoded token", "phase_decoded_token_j"),
    ("J/prompt token", "phase_prompt_token_j"),
    ("J/context token", "phase_context_token_j"),
    ("condition", "phase_condition"),
    ("hold-out error", "phase_holdout_error"),
)
_PASSED = "pass_at_1_plus_difference"


def tests_table(results: Results, model: str) -> Table:
    """Each comparison as one of a family."""
    rows = []
    for kind, metric in _PRIMARY.items():
        for one in _of(results, model, kind):
            if f"{metric}_p" not in one.metrics:
                continue
            rows.append(
                (
                    _SHOWN[kind],
                    one.variant,
                    one.load,
                    _interval(one, metric),
                    _interval(one, f"{metric}_simultaneous"),
                    _p(one.value(f"{metric}_p")),
                    _p(one.value(f"{metric}_p_holm")),
                    significant(one.value(f"{metric}_smallest_visible")),
                    _why(one, [f"{metric}_p"]),
                )
            )
    header = (
        "comparison",
        "variant",
        "load",
        "ratio (95 %, one by one)",
        "95 %, all together",
        "p",
        "p by Holm",
    )
    return Table((*header, "smallest ratio to be seen", "reasons"), tuple(rows), 3)


def rates_table(results: Results, model: str) -> Table:
    """Each variant against the baseline, by how the two were asked: at equal rate, or each at what it can do."""
    rows = []
    for one in _of(results, model, "variant_vs_baseline"):
        rate = one.value("request_rate_ratio")
        asked = (
            "–" if rate is None else "equal rate" if abs(rate - 1) <= EQUAL_RATE else "each at its own rate"
        )
        metrics = (
            "request_rate_ratio",
            "j_per_request_ratio",
            "tokens_per_request_ratio",
            "j_per_output_token_ratio",
        )
        rows.append((one.variant, one.load, asked, *(significant(one.value(name)) for name in metrics)))
    header = ("variant", "load", "compared at", "requests/s", "J/request", "tokens/request", "J/token")
    return Table(header, tuple(rows), 3)


def curves_table(results: Results, model: str) -> Table:
    """Joules over concurrency."""
    crossovers = {one.variant: one for one in _of(results, model, "crossover")}
    rows = []
    for one in _of(results, model, "saturation"):
        other = crossovers.get(one.variant)
        rows.append(
            (
                one.variant,
                *(_interval(one, f"saturation_{name}") for name in ("own", "shared", "half_at")),
                percent(one.value("saturation_misfit")),
                _crossover(other),
                _why(one, ["saturation_own"]),
            )
        )
    header = ("variant", "own J/request", "shared J, over concurrency", "half of it saved at", "worst misfit")
    return Table((*header, "costs less than the baseline", "reasons"), tuple(rows), 1)


def accuracy_table(results: Results, model: str) -> Table:
    """pass@1 task by task, and answers that changed."""
    rows = []
    for kind in ("accuracy_vs_baseline", "accuracy_vs_single"):
        for one in _of(results, model, kind):
            other = one.reference_variant if kind.endswith("baseline") else one.reference_load
            rows.append(
                (
                    one.variant,
                    one.load,
                    other,
                    _interval(one, _PASSED, signed=True),
                    _p(one.value(f"{_PASSED}_p")),
                    _p(one.value(f"{_PASSED}_p_holm")),
                    _p(one.value(f"{_PASSED}_p_mcnemar")),
                    significant(one.value(f"{_PASSED}_smallest_visible"), 2),
                    *(
                        percent(one.value(f"flips_between_{name}"))
                        for name in ("loads", "repeats", "repeats_single")
                    ),
                    _why(one, [_PASSED]),
                )
            )
    header = (
        "variant",
        "load",
        "against",
        "difference of pass@1 (95 %)",
        "p, sign flips",
        "p by Holm",
        "p, McNemar",
        "smallest to be seen",
        "answers changed by load",
        "by repeating it",
        "by repeating single-stream",
        "reasons",
    )
    return Table(header, tuple(rows), 3)


def attribution_table(results: Results, model: str) -> Table:
    """What the rule ``phase`` found for each variant; the same in all its cells."""
    rows = []
    own = [row for row in results.cell_rows if row["model"] == model]
    for variant in sorted({row["variant"] for row in own}):
        found = {row["metric"]: row for row in own if row["variant"] == variant}
        fit = found.get("phase_condition")
        if fit is None:
            continue
        values = [found.get(metric) for _, metric in _ATTRIBUTION]
        shown = [significant(row["value"] if row else None) for row in values[:-1]]
        error = values[-1]["value"] if values[-1] else None
        rows.append((variant, *shown, percent(error), ", ".join(fit["reasons"])))
    return Table(("variant", *(name for name, _ in _ATTRIBUTION), "reasons"), tuple(rows), 1)


def steadiness_table(results: Results, model: str) -> Table:
    """The largest trend of any block's window, and from the first block to the last."""
    drifts = {(one.variant, one.load): one for one in _of(results, model, "drift")}
    rows = []
    names = ("power", "tokens", "sm_clock", "temperature")
    own = [row for row in results.cell_rows if row["model"] == model and row["metric"].startswith("trend_")]
    for side in sorted({(row["variant"], row["load"]) for row in own} | set(drifts)):
        mine = [row for row in own if (row["variant"], row["load"]) == side]
        cells = []
        for name in names:
            values = [
                row["value"] for row in mine if row["metric"] == f"trend_{name}" and row["value"] is not None
            ]
            worst = max(values, key=abs, default=None)
            cells.append(percent(worst, signed=True) if name != "temperature" else significant(worst))
        drift = drifts.get(side)
        moved = drift.value("j_per_request_drift") if drift else None
        rows.append((*side, *cells, percent(None if moved is None else moved - 1, signed=True)))
    header = (
        "variant",
        "load",
        "power",
        "tokens",
        "SM clock",
        "temperature, °C",
        "J/request over the blocks",
    )
    return Table(header, tuple(rows), 2)


def _of(results: Results, model: str, kind: str) -> Sequence[Contrast]:
    return [one for one in results.contrasts if one.model == model and one.kind == kind]


def _interval(one: Contrast, metric: str, *, signed: bool = False) -> str:
    row: Mapping[str, Any] | None = one.metrics.get(metric)
    if row is None or row["value"] is None:
        return "–"
    text = f"{row['value']:+.3f}" if signed else significant(row["value"])
    ends = [f"{row[end]:+.3f}" if signed else significant(row[end]) for end in ("lo", "hi")]
    return text if row["lo"] is None and row["hi"] is None else f"{text} ({ends[0]} to {ends[1]})"


def _crossover(one: Contrast | None) -> str:
    row = one.metrics.get("crossover_concurrency") if one else None
    if one is None or row is None:
        return "–"
    if row["value"] is None:
        return ", ".join(row["reasons"])
    side = "above" if one.value("costs_less_above") else "below"
    why = f"; {', '.join(row['reasons'])}" if row["reasons"] else ""
    return f"{side} {_interval(one, 'crossover_concurrency')} in flight{why}"


def _why(one: Contrast, metrics: Sequence[str]) -> str:
    found = {reason for name in metrics for reason in one.metrics.get(name, {}).get("reasons", [])}
    return ", ".join(sorted(found))


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def percent(share: float | None, *, signed: bool = False) -> str:
    """With one digit after the point; a dash for None."""
    if share is None:
        return "–"
    return f"{share * 100:+.1f} %" if signed else f"{share * 100:.1f} %"
