"""The report's tables, as rows of text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from analysis.results.headline import significant, with_bounds
from analysis.results.points import Contrast, Point, Results

_MAIN = (
    ("J/request", ("j_per_request",), 3),
    ("net", ("j_per_request_net",), 3),
    ("J/output token", ("j_per_output_token",), 3),
    ("requests/s", ("request_rate",), 3),
    ("TTFT p50, ms", ("ttft_p50_ms",), 3),
    ("e2e p50, ms", ("e2e_p50_ms",), 3),
    ("pass@1 base", ("pass_at_1_base",), 3),
    ("pass@1 base and plus", ("pass_at_1_plus",), 3),
    ("J/solved task", ("j_per_solved_task",), 3),
)
_AFTER_PASSED = 8  # figures that stand before the number of tasks
_FACTORS = (
    ("factor, gross", "energy_factor"),
    ("factor, net", "energy_factor_net"),
    ("single, requests/s", "single_rate"),
    ("batched, requests/s", "batched_rate"),
    ("idle's share, single", "single_idle_share"),
    ("idle's share, batched", "batched_idle_share"),
    ("idle's share of what is saved", "idle_share"),
)
_RATIOS = (
    ("J/request", "j_per_request_ratio"),
    ("tokens/request", "tokens_per_request_ratio"),
    ("J/token", "j_per_output_token_ratio"),
)
_WITH_INTERVAL = frozenset({"j_per_request", "j_per_output_token", "j_per_solved_task"})
_LONG = 160


@dataclass(frozen=True)
class Table:
    """Header and rows of text; the first ``labels`` columns are words, the others figures."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int


def main_table(results: Results, model: str) -> Table:
    """Variant x load: what it costs, how fast it is, what it solves, and what was left out."""
    mark = " (memorised)" if model in results.memorised else ""
    names = [name + mark if name.startswith("pass@1") else name for name, _, _ in _MAIN]
    names.insert(_AFTER_PASSED, "pass@1 of tasks")
    header = ("variant", "load", *names, "valid blocks", "reasons")
    rows = [_main_row(point, results.of_tasks(point)) for point in results.points if point.model == model]
    return Table(header, tuple(rows), 2)


def _main_row(point: Point, tasks: str) -> tuple[str, ...]:
    figures = [_figure_of(point, metrics[0], digits) for _, metrics, digits in _MAIN]
    figures.insert(_AFTER_PASSED, tasks)
    valid = len(point.values.get("j_per_request", ()))
    reasons = point.why([metric for _, metrics, _ in _MAIN for metric in metrics] + ["window_s"])
    return (point.variant, point.load, *figures, f"{valid} of {point.blocks}", ", ".join(reasons))


def _figure_of(point: Point, metric: str, digits: int) -> str:
    """The mean over blocks; of what the study is about with its interval too."""
    text = significant(point.mean(metric), digits)
    interval = point.interval(metric) if metric in _WITH_INTERVAL else None
    return text if interval is None else f"{text} ({' to '.join(map(significant, interval))})"


def contrast_tables(results: Results, model: str) -> dict[str, Table]:
    """Batched against single-stream, variants against the baseline and their controls; those with rows."""
    own = [one for one in results.contrasts if one.model == model]
    kinds = (
        ("batched_vs_single", _FACTORS, ("variant", "load")),
        ("variant_vs_baseline", _RATIOS, ("variant", "load")),
        ("variant_vs_control", _RATIOS, ("variant over control", "load")),
    )
    tables = {}
    for kind, metrics, labels in kinds:
        rows = [_contrast_row(one, metrics) for one in own if one.kind == kind]
        if rows:
            header = (*labels, *(name for name, _ in metrics), "blocks", "reasons")
            tables[kind] = Table(header, tuple(rows), 2)
    return tables


def _contrast_row(contrast: Contrast, metrics: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    cells = []
    for _, metric in metrics:
        row = contrast.metrics.get(metric)
        cells.append(with_bounds(*(row[name] if row else None for name in ("value", "lo", "hi"))))
    first = contrast.metrics.get(metrics[0][1])
    reasons = sorted(
        {reason for _, metric in metrics for reason in contrast.metrics.get(metric, {}).get("reasons", [])}
    )
    blocks = str(first["blocks"]) if first else "–"
    variant = contrast.variant
    if contrast.kind == "variant_vs_control":
        variant += f" over {contrast.reference_variant}"
    return (variant, contrast.load, *cells, blocks, ", ".join(reasons))


def pair_table(results: Results) -> Table:
    """Gross, idle and net of every boundary and source, side by side and never summed."""
    header = (
        "model",
        "variant",
        "load",
        "boundary",
        "source",
        "J/request",
        "idle",
        "net",
        "mean W",
        "idle W",
    )
    sums: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in results.cell_rows:
        if row["boundary"] is None:
            continue
        key = tuple(str(row[name]) for name in ("model", "variant", "load", "boundary", "source"))
        values = sums.setdefault(key, {})
        if row["valid"] and row["value"] is not None:
            values.setdefault(row["metric"], []).append(row["value"])
    metrics = ("j_per_request", "j_per_request_idle", "j_per_request_net", "power_mean_w", "power_idle_w")
    rows = [
        (*key, *(significant(_mean(values.get(metric))) for metric in metrics))
        for key, values in sorted(sums.items())
    ]
    return Table(header, tuple(rows), 5)


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


def _mean(values: list[float] | None) -> float | None:
    return sum(values) / len(values) if values else None
