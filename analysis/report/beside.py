"""The paper beside the study, by the same views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.compare.paper import PaperFigure, paper_figures, read_runs, spread
from analysis.report.conclusions import percent
from analysis.report.sections import Table
from analysis.results.headline import significant
from analysis.results.points import Results
from starwatt_errors import TraceError


def paper_section(results: Results) -> dict[str, Any] | None:
    """The paper's figures and ours by the same views; None where its runs are not in this checkout."""
    try:
        figures = paper_figures(read_runs())
    except TraceError:
        return None
    rows = [
        (
            one.configuration.model,
            str(one.configuration.max_new_tokens),
            one.configuration.quantisation,
            str(one.configuration.pruned_last_layers),
            significant(one.gpu_wh),
            significant(one.total_wh),
            significant(one.recomputed_wh),
            *(percent(value, signed=True) for value in (one.gpu_change, one.total_change, one.total_share)),
            percent(one.boundary_share),
        )
        for one in figures
    ]
    header = (
        "model",
        "new tokens",
        "quantisation",
        "layers off",
        "GPU, Wh",
        "total, Wh",
        "added again",
        "GPU, against the original",
        "total, against the original",
        "as the paper has it (of its own total)",
        "of the change, outside the GPU",
    )
    quantised = [one for one in figures if one.configuration.quantisation != "none"]
    return {
        "table": Table(header, tuple(rows), 4),
        "published": spread([one.total_share for one in quantised if one.total_share is not None]),
        "total": spread([one.total_change for one in quantised if one.total_change is not None]),
        "gpu": spread([one.gpu_change for one in quantised if one.gpu_change is not None]),
        "decides": boundary_words(quantised),
        "ours": _our_views(results),
    }


def boundary_words(figures: Sequence[PaperFigure]) -> str:
    """What the boundary decides, the GPU or the paper's total: the sign of what compression costs, or its size."""
    both = [one for one in figures if one.gpu_change is not None and one.total_change is not None]
    turned = [one for one in both if (one.gpu_change or 0.0) * (one.total_change or 0.0) < 0]
    if not turned:
        return "the boundary decides the size, never the sign."
    if len(turned) == len(both):
        return "the boundary decides the sign."
    named: dict[tuple[str, str], list[int]] = {}
    for one in turned:
        named.setdefault(_kind(one), []).append(one.configuration.max_new_tokens)
    lengths = {
        kind: {one.configuration.max_new_tokens for one in both if _kind(one) == kind} for kind in named
    }
    said = [
        f"{kind[0]} on {kind[1]}"
        + ("" if set(own) == lengths[kind] else f" at {', '.join(map(str, own))} tokens")
        for kind, own in named.items()
    ]
    return f"the boundary decides the sign for {' and '.join(said)}, elsewhere the size."


def _kind(one: PaperFigure) -> tuple[str, str]:
    return one.configuration.quantisation, one.configuration.model


def _our_views(results: Results) -> Table | None:
    """Variant over baseline by the paper's total and by each boundary of ours, single-stream first."""
    values: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in results.cell_rows:
        metric = row["metric"]
        name = {"paper_total_j_per_request": "total", "paper_outside_share": "outside"}.get(metric)
        if metric == "j_per_request" and (row["boundary"], row["source"]) == ("gpu", "nvml"):
            name = "gpu"
        if name is not None and row["valid"] and row["value"] is not None:
            side = (row["model"], row["load"], row["variant"])
            values.setdefault(side, {}).setdefault(name, []).append(row["value"])
    baselines = {one.reference_variant for one in results.contrasts if one.kind == "variant_vs_baseline"}
    rows = []
    for (model, load, variant), found in sorted(values.items()):
        base = next((values[one] for one in values if one[:2] == (model, load) and one[2] in baselines), {})
        if "total" not in found:
            continue
        mean = {name: float(np.mean(numbers)) for name, numbers in found.items()}
        changes = [
            mean[name] / float(np.mean(base[name])) - 1 if name in mean and name in base else None
            for name in ("gpu", "total")
        ]
        shown = (significant(mean.get("gpu")), significant(mean["total"]), percent(mean.get("outside")))
        rows.append((model, load, variant, *shown, *(percent(one, signed=True) for one in changes)))
    if not rows:
        return None
    header = ("model", "load", "variant", "GPU, J/request", "paper's total, J/request", "outside the GPU")
    return Table((*header, "GPU, against the baseline", "total, against the baseline"), tuple(rows), 3)
