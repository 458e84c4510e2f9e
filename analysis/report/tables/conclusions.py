"""The report's tables of conclusions: tests, curves, pass@1, attribution, and steadiness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from analysis.metrics import metric
from analysis.report.tables.table import LOAD, VARIANT, Columns, TextTable, each_of, percent, table_of
from analysis.results.points import Contrast, Results
from analysis.results.sentences import significant
from traces.layout import board_of

_Row = Mapping[str, Any]
_PRIMARY = {
    "batched_vs_single": ("single-stream over batched", "energy_factor"),
    "variant_vs_baseline": ("variant over baseline", "j_per_request_ratio"),
    "board_vs_reference": ("setting of the boards over the reference", "j_per_request_ratio"),
}
_PASSED = "pass_at_1_plus_difference"
EQUAL_RATE = 0.02  # rates that differ by less were the same


def _interval(contrast: Contrast, name: str, shown: Callable[[float], str] = significant) -> str:
    row = contrast.metrics.get(name)
    if row is None or row["value"] is None:
        return "–"
    ends = ["–" if row[end] is None else shown(row[end]) for end in ("lo", "hi")]
    bounds = "" if row["lo"] is None and row["hi"] is None else f" ({ends[0]} to {ends[1]})"
    return shown(row["value"]) + bounds


def _value(contrast: Contrast, name: str) -> str:
    return significant(contrast.value(name))


def _percent(contrast: Contrast, name: str) -> str:
    return percent(contrast.value(name))


def _asked(rate: float | None) -> str:
    if rate is None:
        return "–"
    return "equal rate" if abs(rate - 1) <= EQUAL_RATE else "each at its own rate"


def _crossover(contrast: Contrast | None) -> str:
    row = contrast.metrics.get("crossover_concurrency") if contrast else None
    if contrast is None or row is None:
        return "–"
    if row["value"] is None:
        return ", ".join(row["reasons"])
    side = "above" if contrast.value("costs_less_above") else "below"
    why = f"; {', '.join(row['reasons'])}" if row["reasons"] else ""
    return f"{side} {_interval(contrast, 'crossover_concurrency')} in flight{why}"


def _p(contrast: Contrast, name: str) -> str:
    value = contrast.value(name)
    return "–" if value is None else "<\N{NO-BREAK SPACE}0.001" if value < 0.001 else f"{value:.3f}"


def _primary(contrast: Contrast, suffix: str = "") -> str:
    return _PRIMARY[contrast.kind][1] + suffix


_TESTS: Columns[Contrast] = (
    ("comparison", lambda contrast: _PRIMARY[contrast.kind][0]),
    VARIANT,
    LOAD,
    ("ratio (95 %, one by one)", lambda contrast: _interval(contrast, _primary(contrast))),
    ("95 %, all together", lambda contrast: _interval(contrast, _primary(contrast, "_simultaneous"))),
    ("p", lambda contrast: _p(contrast, _primary(contrast, "_p"))),
    ("p by Holm", lambda contrast: _p(contrast, _primary(contrast, "_p_holm"))),
    ("smallest ratio to be seen", lambda contrast: _value(contrast, _primary(contrast, "_smallest_visible"))),
    ("reasons", lambda contrast: contrast.why(_primary(contrast, "_p"))),
)
_RATES: Columns[Contrast] = (
    VARIANT,
    LOAD,
    ("compared at", lambda contrast: _asked(contrast.value("request_rate_ratio"))),
    *each_of(
        [
            f"{name}_ratio"
            for name in ("request_rate", "j_per_request", "tokens_per_request", "j_per_output_token")
        ],
        _value,
    ),
)
_CURVES: Columns[Contrast] = (
    ("variant", lambda contrast: _fitted(contrast.variant, contrast.load)),
    *each_of(["saturation_own", "saturation_shared", "saturation_half_at"], _interval),
    *each_of(["saturation_misfit"], _percent),
)
_ACCURACY: Columns[Contrast] = (
    VARIANT,
    LOAD,
    (
        "against",
        lambda contrast: (
            contrast.reference_load if contrast.kind == "accuracy_vs_single" else contrast.reference_variant
        ),
    ),
    ("difference of pass@1 (95 %)", lambda contrast: _interval(contrast, _PASSED, "{:+.3f}".format)),
    *each_of([f"{_PASSED}_p", f"{_PASSED}_p_holm", f"{_PASSED}_p_mcnemar"], _p),
    ("smallest to be seen", lambda contrast: significant(contrast.value(f"{_PASSED}_smallest_visible"), 2)),
    *each_of(["flips_between_loads", "flips_between_repeats", "flips_between_repeats_single"], _percent),
    ("reasons", lambda contrast: contrast.why(_PASSED, f"{_PASSED}_p_mcnemar")),
)
_COSTS = (
    "phase_step_j",
    "phase_decoded_token_j",
    "phase_prompt_token_j",
    "phase_context_token_j",
    "phase_condition",
)
_ATTRIBUTION: Columns[Mapping[str, _Row]] = (
    ("variant", lambda fit: _fitted(fit["phase_condition"]["variant"], fit["phase_condition"]["load"])),
    *((metric(name).label, lambda fit, name=name: significant(fit[name]["value"])) for name in _COSTS),
    (metric("phase_holdout_error").label, lambda fit: percent(fit["phase_holdout_error"]["value"])),
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


def _fitted(variant: str, load: str) -> str:
    """Name what a rule or a curve was fitted to: a variant, at a setting of the boards where there are several."""
    board = board_of(load)
    return variant if board is None else f"{variant} at {board}"


def tests_table(results: Results, model: str) -> TextTable:
    """Show each comparison as one of a family."""
    rows = [
        contrast for contrast in results.of(model, *_PRIMARY) if _primary(contrast, "_p") in contrast.metrics
    ]
    return table_of(_TESTS, rows, 3)


def rates_table(results: Results, model: str) -> TextTable:
    """Return each variant against the baseline, by how the two were asked: at equal rate, or each at what it can do."""
    return table_of(_RATES, results.of(model, "variant_vs_baseline"), 3)


def curves_table(results: Results, model: str) -> TextTable:
    """Show joules over concurrency."""
    crossovers = {
        _fitted(contrast.variant, contrast.load): contrast for contrast in results.of(model, "crossover")
    }
    columns: Columns[Contrast] = (
        *_CURVES,
        (
            "costs less than the baseline",
            lambda contrast: _crossover(crossovers.get(_fitted(contrast.variant, contrast.load))),
        ),
        ("reasons", lambda contrast: contrast.why("saturation_own")),
    )
    return table_of(columns, results.of(model, "saturation"), 1)


def accuracy_table(results: Results, model: str) -> TextTable:
    """Show pass@1 task by task, and answers that changed."""
    return table_of(_ACCURACY, results.of(model, "accuracy_vs_baseline", "accuracy_vs_single"), 3)


def attribution_table(results: Results, model: str) -> TextTable:
    """Return what the rule ``phase`` found for each variant; the same in all its cells."""
    fits: dict[str, dict[str, _Row]] = {}
    for row in results.cell_rows:
        if row["model"] == model and row["metric"].startswith("phase_"):
            fits.setdefault(_fitted(row["variant"], row["load"]), {})[row["metric"]] = row
    return table_of(_ATTRIBUTION, [fits[name] for name in sorted(fits)], 1)


def steadiness_table(results: Results, model: str) -> TextTable:
    """Return the largest trend of any block's window, and from the first block to the last."""
    sides: dict[tuple[str, str], dict[str, float]] = {}
    for row in results.cell_rows:
        if row["model"] == model and row["metric"].startswith("trend_"):
            worst = sides.setdefault((row["variant"], row["load"]), {})
            if row["value"] is not None:
                worst[row["metric"]] = max(worst.get(row["metric"], row["value"]), row["value"], key=abs)
    for contrast in results.of(model, "drift"):
        moved = contrast.value("j_per_request_drift")
        sides.setdefault((contrast.variant, contrast.load), {}).update(
            {} if moved is None else {"drift": moved - 1}
        )
    return table_of(_STEADINESS, sorted(sides.items()), 2)
