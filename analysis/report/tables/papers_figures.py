"""The paper's own figures, computed again from its runs: for the page that sets a run beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.compare.paper import PaperFigure, paper_figures, read_runs, spread
from analysis.report.tables.table import Columns, percent, table_of
from analysis.results.headline import significant

_COLUMNS: Columns[PaperFigure] = (
    ("model", lambda one: one.configuration.model),
    ("new tokens", lambda one: str(one.configuration.max_new_tokens)),
    ("quantisation", lambda one: one.configuration.quantisation),
    ("layers off", lambda one: str(one.configuration.pruned_last_layers)),
    ("GPU, Wh", lambda one: significant(one.gpu_wh)),
    ("total, Wh", lambda one: significant(one.total_wh)),
    ("added again", lambda one: significant(one.recomputed_wh)),
    ("GPU, against the original", lambda one: percent(one.gpu_change, signed=True)),
    ("total, against the original", lambda one: percent(one.total_change, signed=True)),
    ("as the paper has it (of its own total)", lambda one: percent(one.total_share, signed=True)),
    ("of the change, outside the GPU", lambda one: percent(one.boundary_share)),
)


def papers_figures() -> dict[str, Any]:
    """Tabulate every configuration of the paper, and say what of its percentages is boundary.

    Raises:
        TraceError: its runs are not in this checkout.
    """
    figures = paper_figures(read_runs())
    quantised = [one for one in figures if one.configuration.quantisation != "none"]
    return {
        "table": table_of(_COLUMNS, figures, 4),
        "published": spread([one.total_share for one in quantised if one.total_share is not None]),
        "total": spread([one.total_change for one in quantised if one.total_change is not None]),
        "gpu": spread([one.gpu_change for one in quantised if one.gpu_change is not None]),
        "decides": boundary_words(quantised),
    }


def boundary_words(figures: Sequence[PaperFigure]) -> str:
    """What the boundary decides, the GPU or the paper's total: the sign of what compression costs, or its size."""
    turned: dict[str, set[int]] = {}
    lengths: dict[str, set[int]] = {}
    for one in figures:
        if one.gpu_change is not None and one.total_change is not None:
            of, length = one.configuration, one.configuration.max_new_tokens
            kind = f"{of.quantisation} on {of.model}"
            lengths.setdefault(kind, set()).add(length)
            if one.gpu_change * one.total_change < 0:
                turned.setdefault(kind, set()).add(length)
    if not turned:
        return "the boundary decides the size, never the sign."
    if turned == lengths:
        return "the boundary decides the sign."
    named = [
        kind if own == lengths[kind] else f"{kind} at {', '.join(map(str, sorted(own)))} tokens"
        for kind, own in turned.items()
    ]
    return f"the boundary decides the sign for {' and '.join(named)}, elsewhere the size."
