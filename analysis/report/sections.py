"""The report's tables of figures: variants under loads, comparisons within blocks, boundaries, and the manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from analysis.report.table import Columns, Table, table_of
from analysis.results.headline import significant, with_bounds
from analysis.results.points import Contrast, Point, Results

_LONG = 160
_COSTS = {
    "J/request": "j_per_request",
    "net": "j_per_request_net",
    "J/output token": "j_per_output_token",
    "requests/s": "request_rate",
    "TTFT p50, ms": "ttft_p50_ms",
    "e2e p50, ms": "e2e_p50_ms",
}
_PASSED = {"pass@1 base": "pass_at_1_base", "pass@1 base and plus": "pass_at_1_plus"}
_SOLVED = {"J/solved task": "j_per_solved_task"}
_WITH_INTERVAL = frozenset({"j_per_request", "j_per_output_token", "j_per_solved_task"})
_FACTORS = {
    "factor, gross": "energy_factor",
    "factor, net": "energy_factor_net",
    "single, requests/s": "single_rate",
    "batched, requests/s": "batched_rate",
    "idle's share, single": "single_idle_share",
    "idle's share, batched": "batched_idle_share",
    "idle's share of what is saved": "idle_share",
}
_RATIOS = {
    "J/request": "j_per_request_ratio",
    "tokens/request": "tokens_per_request_ratio",
    "J/token": "j_per_output_token_ratio",
}
_BOUNDARIES = {
    "J/request": "j_per_request",
    "idle": "j_per_request_idle",
    "net": "j_per_request_net",
    "mean W": "power_mean_w",
    "idle W": "power_idle_w",
}


def main_table(results: Results, model: str) -> Table:
    """Variant x load: what it costs, how fast it is, what it solves, and what was left out."""
    mark = " (memorised)" if model in results.memorised else ""
    passed = {title + mark: metric for title, metric in _PASSED.items()}
    every = [*_COSTS.values(), *passed.values(), *_SOLVED.values(), "window_s"]
    columns: Columns[Point] = (
        ("variant", lambda one: one.variant),
        ("load", lambda one: one.load),
        *((title, _mean_of(metric)) for title, metric in {**_COSTS, **passed}.items()),
        ("pass@1 of tasks", results.of_tasks),
        *((title, _mean_of(metric)) for title, metric in _SOLVED.items()),
        ("valid blocks", lambda one: f"{len(one.values.get('j_per_request', ()))} of {one.blocks}"),
        ("reasons", lambda one: ", ".join(one.why(every))),
    )
    return table_of(columns, [one for one in results.points if one.model == model], 2)


def _mean_of(metric: str) -> Callable[[Point], str]:
    """The mean over blocks; of what the study is about with its interval too."""

    def shown(point: Point) -> str:
        text = significant(point.mean(metric))
        interval = point.interval(metric) if metric in _WITH_INTERVAL else None
        return text if interval is None else f"{text} ({' to '.join(map(significant, interval))})"

    return shown


def contrast_tables(results: Results, model: str) -> dict[str, Table]:
    """Batched against single-stream, variants against the baseline and their controls; those with rows."""
    kinds = {"batched_vs_single": _FACTORS, "variant_vs_baseline": _RATIOS, "variant_vs_control": _RATIOS}
    tables = {
        kind: table_of(_contrast_columns(kind, metrics), results.of(model, kind), 2)
        for kind, metrics in kinds.items()
    }
    return {kind: table for kind, table in tables.items() if table.rows}


def _contrast_columns(kind: str, metrics: Mapping[str, str]) -> Columns[Contrast]:
    over = kind == "variant_vs_control"
    first = next(iter(metrics.values()))
    return (
        ("variant over control", lambda one: f"{one.variant} over {one.reference_variant}")
        if over
        else ("variant", lambda one: one.variant),
        ("load", lambda one: one.load),
        *((title, _bounds_of(metric)) for title, metric in metrics.items()),
        ("blocks", lambda one: str(one.metrics[first]["blocks"]) if first in one.metrics else "–"),
        ("reasons", lambda one: one.why(*metrics.values())),
    )


def _bounds_of(metric: str) -> Callable[[Contrast], str]:
    def shown(one: Contrast) -> str:
        row = one.metrics.get(metric, {})
        return with_bounds(*(row.get(name) for name in ("value", "lo", "hi")))

    return shown


def pair_table(results: Results) -> Table:
    """Gross, idle and net of every boundary and source, side by side and never summed."""
    labels = ("model", "variant", "load", "boundary", "source")
    sums: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in results.cell_rows:
        if row["boundary"] is not None:
            values = sums.setdefault(tuple(row[name] for name in labels), {})
            if row["valid"] and row["value"] is not None:
                values.setdefault(row["metric"], []).append(row["value"])
    rows = [
        (*key, *(significant(_mean(values.get(metric, []))) for metric in _BOUNDARIES.values()))
        for key, values in sorted(sums.items())
    ]
    return Table((*labels, *_BOUNDARIES), tuple(rows), len(labels))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def manifest_rows(manifest: Any) -> list[tuple[str, str]]:
    """A manifest of any shape as (path, value), two levels deep; what lies deeper is JSON, cut where long."""
    if not isinstance(manifest, dict):
        return [("manifest", _text(manifest))] if manifest else []
    rows: list[tuple[str, str]] = []
    for key, value in manifest.items():
        if isinstance(value, dict):
            rows += [(f"{key} · {inner}", _text(deeper)) for inner, deeper in value.items()]
        else:
            rows.append((str(key), _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        value = ", ".join(str(one) for one in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
