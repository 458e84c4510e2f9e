"""The paper's own figures, computed again from its runs: for the page that sets a run beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.compare.paper import PaperFigure, paper_figures, read_runs, spread
from analysis.report.tables.table import Columns, percent, table_of
from analysis.results.sentences import significant

_COLUMNS: Columns[PaperFigure] = (
    ("model", lambda figure: figure.configuration.model),
    ("new tokens", lambda figure: str(figure.configuration.max_new_tokens)),
    ("quantisation", lambda figure: figure.configuration.quantisation),
    ("layers off", lambda figure: str(figure.configuration.pruned_last_layers)),
    ("GPU, Wh", lambda figure: significant(figure.gpu_wh)),
    ("total, Wh", lambda figure: significant(figure.total_wh)),
    ("added again", lambda figure: significant(figure.recomputed_wh)),
    ("GPU, against the original", lambda figure: percent(figure.gpu_change, signed=True)),
    ("total, against the original", lambda figure: percent(figure.total_change, signed=True)),
    ("as the paper has it (of its own total)", lambda figure: percent(figure.total_share, signed=True)),
    ("of the change, outside the GPU", lambda figure: percent(figure.boundary_share)),
)


def papers_figures() -> dict[str, Any]:
    """Tabulate every configuration of the paper, and say what of its percentages is boundary.

    Raises:
        TraceError: its runs are not in this checkout.
    """
    figures = paper_figures(read_runs())
    quantised = [figure for figure in figures if figure.configuration.quantisation != "none"]
    return {
        "table": table_of(_COLUMNS, figures, 4),
        "published": spread([figure.total_share for figure in quantised if figure.total_share is not None]),
        "total": spread([figure.total_change for figure in quantised if figure.total_change is not None]),
        "gpu": spread([figure.gpu_change for figure in quantised if figure.gpu_change is not None]),
        "decides": boundary_words(quantised),
    }


def boundary_words(figures: Sequence[PaperFigure]) -> str:
    """Say what the boundary decides, the GPU or the paper's total: the sign of what compression costs, or its size."""
    turned: dict[str, set[int]] = {}
    lengths: dict[str, set[int]] = {}
    for figure in figures:
        if figure.gpu_change is not None and figure.total_change is not None:
            of, length = figure.configuration, figure.configuration.max_new_tokens
            kind = f"{of.quantisation} on {of.model}"
            lengths.setdefault(kind, set()).add(length)
            if figure.gpu_change * figure.total_change < 0:
                turned.setdefault(kind, set()).add(length)
    if not turned:
        return "the boundary decides the size, never the sign."
    if turned == lengths:
        return "the boundary decides the sign."
    named = [
        kind if counts == lengths[kind] else f"{kind} at {', '.join(map(str, sorted(counts)))} tokens"
        for kind, counts in turned.items()
    ]
    return f"the boundary decides the sign for {' and '.join(named)}, elsewhere the size."
