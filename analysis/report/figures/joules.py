"""J/request by load and variant, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.report.figures.axes import (
    font_size,
    interval,
    legend_above,
    room_pt,
    swatches,
    tick_names,
    width_pt,
)
from analysis.report.figures.captions import Scene, each_in_words, few, interval_words, names_in, reach, said
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.looks import INK, Look
from analysis.results.points import Point
from analysis.results.sentences import mean_words, significant

_GROUP = 0.84  # of the space of a load, what its columns take


def joules_by_variant(scene: Scene, model: str) -> Drawing | None:
    """Draw columns of J/request: net below, idle hatched above, the interval in the middle, a dot a block beside it."""
    points, left_out = few(scene.points_with(model, "j_per_request"), by_load=False)
    if not points:
        return None
    variants, loads = names_in(points)
    width = _GROUP / len(variants)

    def place(point: Point) -> float:
        return loads.index(point.load) + (variants.index(point.variant) - (len(variants) - 1) / 2) * width

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for point in points:
            _column(axes, point, place(point), width, scene.palette.variant(point.variant))
        tick_names(axes, figure, loads)
        axes.set_xlim(-0.5, len(loads) - 0.5)
        axes.set_ylabel(said("J / request (gross)", scene.note))
        axes.set_ylim(0, max(reach(points, "j_per_request")) * 1.12)
        _figures(axes, points, [place(point) for point in points], width / len(loads) * room_pt(figure))
        idle = Patch(facecolor="none", edgecolor=INK, hatch="////", linewidth=0.5)
        legend_above(figure, [*swatches(scene.palette, variants), (idle, "idle's part")])

    words = each_in_words(points, lambda point: f"{mean_words(point, 'j_per_request')} joules")
    return Drawing(
        name=f"joules-{model}",
        title=f"J/request by load and variant{scene.note}",
        description=f"Bar chart of joules per request{scene.note}, with 95 % intervals where there are any: {words}.",
        caption="Columns are gross, their hatched part is idle power x time, the rest is net. Each dot is one block, "
        f"its thin line what that measurement leaves open (sampling alone).{interval_words(points)}{left_out}",
        height=2.9,
        paint=paint,
    )


def _column(axes: Axes, point: Point, x: float, width: float, look: Look) -> None:
    gross, idle = point.mean("j_per_request") or 0.0, point.mean("j_per_request_idle") or 0.0
    axes.bar([x], [gross], width=width * 0.9, **look.bar)
    if 0 < idle <= gross:
        hatched: dict[str, Any] = {
            "facecolor": "#ffffff70",
            "edgecolor": INK,
            "hatch": "////",
            "linewidth": 0,
        }
        axes.bar([x], [idle], bottom=[gross - idle], width=width * 0.9, **hatched)
    blocks = point.values["j_per_request"]
    beside = x + np.linspace(0.16, 0.36, len(blocks)) * width
    axes.plot(beside, blocks, linestyle="none", marker="o", markersize=1.8, color=INK)
    bounds = zip(beside, point.bounds["j_per_request"], strict=True)
    lines = [(at, *ends) for at, ends in bounds if ends is not None]
    if lines:
        axes.vlines(*zip(*lines, strict=True), color=INK, linewidth=0.5)
    interval(axes, x, point.interval("j_per_request"), INK)


def _figures(axes: Axes, points: Sequence[Point], places: Sequence[float], column_pt: float) -> None:
    """What each column is in figures, above it, where that fits: level, or upright."""
    size = font_size() - 0.4
    texts = [significant(point.mean("j_per_request")) for point in points]
    level = max(width_pt(text, size) for text in texts) + 2 <= column_pt
    if not level and size + 1 > column_pt:
        return
    for point, x, text in zip(points, places, texts, strict=True):
        axes.annotate(
            text, (x, max(reach([point], "j_per_request"))), xytext=(0, 2), textcoords="offset points", ha="center",
            va="bottom", fontsize=size, rotation=0 if level else 90,
        )  # fmt: skip
    if not level:
        axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
