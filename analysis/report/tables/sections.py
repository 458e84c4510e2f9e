"""The report's tables of figures: variants under loads, comparisons within blocks, boundaries, and the manifest."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from analysis.keys import Condition
from analysis.metrics import metric
from analysis.report.tables.table import LOAD, VARIANT, Columns, TextTable, each_of, mean_of, table_of
from analysis.results.points import Contrast, Point, Results
from analysis.results.sentences import mean_words, row_words, significant

_LONG = 160
_COSTS = (
    "j_per_request",
    "j_per_request_net",
    "j_per_output_token",
    "wh_per_1000_requests",
    "request_rate",
    "output_token_rate",
)
LATENCIES = tuple(
    f"{kind}_{part}_ms" for kind in ("ttft", "tpot", "itl", "e2e") for part in ("p50", "p90", "p99")
)
_PASSED = ("pass_at_1_base", "pass_at_1_plus")
_SOLVED = "j_per_solved_task"
_WITH_INTERVAL = frozenset({"j_per_request", "j_per_output_token", "j_per_solved_task"})
_FACTORS = (
    "energy_factor", "energy_factor_net", "single_rate", "batched_rate", "single_idle_share", "batched_idle_share",
    "idle_share",
)  # fmt: skip
_RATIOS = ("j_per_request_ratio", "tokens_per_request_ratio", "j_per_output_token_ratio")
_CONTRASTS = {
    "batched_vs_single": _FACTORS,
    "variant_vs_baseline": _RATIOS,
    "variant_vs_control": _RATIOS,
    "board_vs_reference": (*_RATIOS, "request_rate_ratio"),
}
_BOUNDARIES = ("j_per_request", "j_per_request_idle", "j_per_request_net", "power_mean_w", "power_idle_w")


def main_table(results: Results, model: str) -> TextTable:
    """Show variant x load: what it costs, how fast it is, what it solves, and what was left out."""
    mark = " (memorised)" if model in results.memorised else ""
    points = results.points_of(model)
    columns: Columns[Point] = (
        VARIANT,
        LOAD,
        *((metric(name).titled, _mean_of(name)) for name in _COSTS),
        *((metric(name).titled + mark, _mean_of(name)) for name in _PASSED),
        *(
            (("pass@1 of tasks", results.of_tasks),)
            if len({*map(results.of_tasks, points)} - {"–"}) > 1
            else ()
        ),
        (metric(_SOLVED).titled, _mean_of(_SOLVED)),
        ("valid blocks", lambda point: f"{len(point.values.get('j_per_request', ()))} of {point.blocks}"),
        ("reasons", lambda point: ", ".join(point.why((*_COSTS, *_PASSED, _SOLVED, "window_s")))),
    )
    return table_of(columns, points, 2)


def latency_table(results: Results, model: str) -> TextTable:
    """Show variant x load: TTFT, TPOT, ITL and the whole request, in milliseconds; means of the blocks' percentiles."""
    columns: Columns[Point] = (
        VARIANT,
        LOAD,
        *each_of(LATENCIES, mean_of),
    )
    known = [point for point in results.points_of(model) if point.mean("e2e_p50_ms") is not None]
    return table_of(columns, known, 2)


def _mean_of(name: str) -> Callable[[Point], str]:
    """Return the mean over blocks; of what the study is about with its interval too."""

    return partial(mean_words if name in _WITH_INTERVAL else mean_of, name=name)


def contrast_tables(results: Results, model: str) -> dict[str, TextTable]:
    """Show batched against single-stream, variants against the baseline and their controls; those with rows."""
    tables = {
        kind: table_of(_contrast_columns(kind, names), results.of(model, kind), 2)
        for kind, names in _CONTRASTS.items()
    }
    return {kind: table for kind, table in tables.items() if table.rows}


def _contrast_columns(kind: str, names: Sequence[str]) -> Columns[Contrast]:
    return (
        ("variant over control", lambda contrast: f"{contrast.variant} over {contrast.reference_variant}")
        if kind == "variant_vs_control"
        else VARIANT,
        LOAD,
        *each_of(names, _ratio),
        (
            "blocks",
            lambda contrast: (
                str(contrast.metrics[names[0]]["blocks"]) if names[0] in contrast.metrics else "–"
            ),
        ),
        ("reasons", lambda contrast: contrast.why(*names)),
    )


def _ratio(contrast: Contrast, name: str) -> str:
    return row_words(contrast.metrics.get(name, {}))


def pair_table(results: Results) -> TextTable:
    """Show gross, idle and net of every boundary and source, side by side and never summed."""
    labels = ("model", "variant", "load", "boundary", "source")
    order: defaultdict[Condition, int] = defaultdict(lambda: len(results.points))
    order |= {point.condition: place for place, point in enumerate(results.points)}
    sums: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in results.cell_rows:
        if row["boundary"] is not None:
            values = sums.setdefault(tuple(row[label] for label in labels), {})
            if row["valid"] and row["value"] is not None:
                values.setdefault(row["metric"], []).append(row["value"])
    rows = [
        (*key, *(significant(_mean(values.get(name, []))) for name in _BOUNDARIES))
        for key, values in sorted(sums.items(), key=lambda item: (order[Condition(*item[0][:3])], item[0]))
    ]
    return TextTable((*labels, *(metric(name).label for name in _BOUNDARIES)), tuple(rows), len(labels))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def manifest_rows(manifest: Any) -> list[tuple[str, str]]:
    """Return a manifest of any shape as (path, value), two levels deep; what lies deeper is JSON, cut where long."""
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
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        value = ", ".join(str(item) for item in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
