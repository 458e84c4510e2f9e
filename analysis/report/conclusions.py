"""The report's tables of conclusions: tests, curves, pass@1, attribution, and steadiness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from analysis.report.table import Columns, Table, percent, table_of
from analysis.results.headline import significant
from analysis.results.points import Contrast, Results

_Row = Mapping[str, Any]
_PRIMARY = {
    "batched_vs_single": ("single-stream over batched", "energy_factor"),
    "variant_vs_baseline": ("variant over baseline", "j_per_request_ratio"),
}
_PASSED = "pass_at_1_plus_difference"
EQUAL_RATE = 0.02  # rates that differ by less were the same

_VARIANT: tuple[str, Callable[[Contrast], str]] = ("variant", lambda one: one.variant)
_LOAD: tuple[str, Callable[[Contrast], str]] = ("load", lambda one: one.load)


def _primary(one: Contrast, suffix: str = "") -> str:
    return _PRIMARY[one.kind][1] + suffix


_TESTS: Columns[Contrast] = (
    ("comparison", lambda one: _PRIMARY[one.kind][0]),
    _VARIANT,
    _LOAD,
    ("ratio (95 %, one by one)", lambda one: _interval(one, _primary(one))),
    ("95 %, all together", lambda one: _interval(one, _primary(one, "_simultaneous"))),
    ("p", lambda one: _p(one, _primary(one, "_p"))),
    ("p by Holm", lambda one: _p(one, _primary(one, "_p_holm"))),
    ("smallest ratio to be seen", lambda one: _value(one, _primary(one, "_smallest_visible"))),
    ("reasons", lambda one: one.why(_primary(one, "_p"))),
)
_RATES: Columns[Contrast] = (
    _VARIANT,
    _LOAD,
    ("compared at", lambda one: _asked(one.value("request_rate_ratio"))),
    ("requests/s", lambda one: _value(one, "request_rate_ratio")),
    ("J/request", lambda one: _value(one, "j_per_request_ratio")),
    ("tokens/request", lambda one: _value(one, "tokens_per_request_ratio")),
    ("J/token", lambda one: _value(one, "j_per_output_token_ratio")),
)
_CURVES: Columns[tuple[Contrast, Contrast | None]] = (
    ("variant", lambda pair: pair[0].variant),
    ("own J/request", lambda pair: _interval(pair[0], "saturation_own")),
    ("shared J, over concurrency", lambda pair: _interval(pair[0], "saturation_shared")),
    ("half of it saved at", lambda pair: _interval(pair[0], "saturation_half_at")),
    ("worst misfit", lambda pair: percent(pair[0].value("saturation_misfit"))),
    ("costs less than the baseline", lambda pair: _crossover(pair[1])),
    ("reasons", lambda pair: pair[0].why("saturation_own")),
)
_ACCURACY: Columns[Contrast] = (
    _VARIANT,
    _LOAD,
    (
        "against",
        lambda one: one.reference_load if one.kind == "accuracy_vs_single" else one.reference_variant,
    ),
    ("difference of pass@1 (95 %)", lambda one: _interval(one, _PASSED, "{:+.3f}".format)),
    ("p, sign flips", lambda one: _p(one, f"{_PASSED}_p")),
    ("p by Holm", lambda one: _p(one, f"{_PASSED}_p_holm")),
    ("p, McNemar", lambda one: _p(one, f"{_PASSED}_p_mcnemar")),
    ("smallest to be seen", lambda one: significant(one.value(f"{_PASSED}_smallest_visible"), 2)),
    ("answers changed by load", lambda one: percent(one.value("flips_between_loads"))),
    ("by repeating it", lambda one: percent(one.value("flips_between_repeats"))),
    ("by repeating single-stream", lambda one: percent(one.value("flips_between_repeats_single"))),
    ("reasons", lambda one: one.why(_PASSED)),
)
_ATTRIBUTION: Columns[Mapping[str, _Row]] = (
    ("variant", lambda fit: str(fit["phase_condition"]["variant"])),
    ("J/step", lambda fit: _of(fit, "phase_step_j")),
    ("J/decoded token", lambda fit: _of(fit, "phase_decoded_token_j")),
    ("J/prompt token", lambda fit: _of(fit, "phase_prompt_token_j")),
    ("J/context token", lambda fit: _of(fit, "phase_context_token_j")),
    ("condition", lambda fit: _of(fit, "phase_condition")),
    ("hold-out error", lambda fit: _of(fit, "phase_holdout_error", percent)),
    ("reasons", lambda fit: ", ".join(fit["phase_condition"]["reasons"])),
)
_STEADINESS: Columns[tuple[tuple[str, str], Mapping[str, float]]] = (
    ("variant", lambda item: item[0][0]),
    ("load", lambda item: item[0][1]),
    ("power", lambda item: percent(item[1].get("trend_power"), signed=True)),
    ("tokens", lambda item: percent(item[1].get("trend_tokens"), signed=True)),
    ("SM clock", lambda item: percent(item[1].get("trend_sm_clock"), signed=True)),
    ("temperature, °C", lambda item: significant(item[1].get("trend_temperature"))),
    ("J/request over the blocks", lambda item: percent(item[1].get("drift"), signed=True)),
)


def tests_table(results: Results, model: str) -> Table:
    """Each comparison as one of a family."""
    rows = [one for one in results.of(model, *_PRIMARY) if _primary(one, "_p") in one.metrics]
    return table_of(_TESTS, rows, 3)


def rates_table(results: Results, model: str) -> Table:
    """Each variant against the baseline, by how the two were asked: at equal rate, or each at what it can do."""
    return table_of(_RATES, results.of(model, "variant_vs_baseline"), 3)


def curves_table(results: Results, model: str) -> Table:
    """Joules over concurrency."""
    crossovers = {one.variant: one for one in results.of(model, "crossover")}
    curves = results.of(model, "saturation")
    return table_of(_CURVES, [(one, crossovers.get(one.variant)) for one in curves], 1)


def accuracy_table(results: Results, model: str) -> Table:
    """pass@1 task by task, and answers that changed."""
    return table_of(_ACCURACY, results.of(model, "accuracy_vs_baseline", "accuracy_vs_single"), 3)


def attribution_table(results: Results, model: str) -> Table:
    """What the rule ``phase`` found for each variant; the same in all its cells."""
    fits: dict[str, dict[str, _Row]] = {}
    for row in results.cell_rows:
        if row["model"] == model and row["metric"].startswith("phase_"):
            fits.setdefault(row["variant"], {})[row["metric"]] = row
    return table_of(_ATTRIBUTION, [fits[variant] for variant in sorted(fits)], 1)


def steadiness_table(results: Results, model: str) -> Table:
    """The largest trend of any block's window, and from the first block to the last."""
    sides: dict[tuple[str, str], dict[str, float]] = {}
    for row in results.cell_rows:
        if row["model"] == model and row["metric"].startswith("trend_"):
            worst = sides.setdefault((row["variant"], row["load"]), {})
            if row["value"] is not None:
                worst[row["metric"]] = max(worst.get(row["metric"], row["value"]), row["value"], key=abs)
    for one in results.of(model, "drift"):
        moved = one.value("j_per_request_drift")
        sides.setdefault((one.variant, one.load), {}).update({} if moved is None else {"drift": moved - 1})
    return table_of(_STEADINESS, sorted(sides.items()), 2)


def _interval(one: Contrast, metric: str, shown: Callable[[float], str] = significant) -> str:
    row = one.metrics.get(metric)
    if row is None or row["value"] is None:
        return "–"
    ends = ["–" if row[end] is None else shown(row[end]) for end in ("lo", "hi")]
    bounds = "" if row["lo"] is None and row["hi"] is None else f" ({ends[0]} to {ends[1]})"
    return shown(row["value"]) + bounds


def _value(one: Contrast, metric: str) -> str:
    return significant(one.value(metric))


def _of(fit: Mapping[str, _Row], metric: str, shown: Callable[[float | None], str] = significant) -> str:
    return shown(fit[metric]["value"] if metric in fit else None)


def _asked(rate: float | None) -> str:
    if rate is None:
        return "–"
    return "equal rate" if abs(rate - 1) <= EQUAL_RATE else "each at its own rate"


def _crossover(one: Contrast | None) -> str:
    row = one.metrics.get("crossover_concurrency") if one else None
    if one is None or row is None:
        return "–"
    if row["value"] is None:
        return ", ".join(row["reasons"])
    side = "above" if one.value("costs_less_above") else "below"
    why = f"; {', '.join(row['reasons'])}" if row["reasons"] else ""
    return f"{side} {_interval(one, 'crossover_concurrency')} in flight{why}"


def _p(one: Contrast, metric: str) -> str:
    value = one.value(metric)
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
