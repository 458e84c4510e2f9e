"""Ratios with their intervals across rows, and a line at 1: what comparisons show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.contrasts.statistics import RatioEstimate
from analysis.report.figures.axes import interval, legend_above, mark
from analysis.report.figures.looks import GREY, SHAPES, Look

_ROW_IN = 0.24


@dataclass(frozen=True)
class RatioMark:
    """One ratio that is known: its height in rows, of which of several it is, and how its variant looks."""

    y: float
    which: int
    estimate: RatioEstimate
    look: Look


def ratio_plot(figure: Figure, rows: Sequence[str], marks: Sequence[RatioMark], names: Sequence[str]) -> Axes:
    """Draw ratios with their intervals.

    Args:
        figure: without axes.
        rows: their names, from above.
        marks: what is drawn.
        names: what the shapes of marks stand for; a single one needs no legend.
    """
    axes = figure.subplots()
    for ratio in marks:
        interval(axes, ratio.y, ratio.estimate.bounds, ratio.look.colour, across=True)
        axes.plot(
            [ratio.estimate.ratio or 1.0], [ratio.y], marker=SHAPES[ratio.which % len(SHAPES)], linestyle="none",
            zorder=3, **ratio.look.mark,
        )  # fmt: skip
    axes.axvline(1.0, color=GREY, linewidth=0.8, zorder=0.5)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if len(names) > 1:
        legend_above(figure, [(mark(None, SHAPES[k % len(SHAPES)]), name) for k, name in enumerate(names)])
    return axes


def rows_height(rows: int, of_each: int = 1) -> float:
    """Return how high such a figure is, in inches; ``of_each``: marks a row."""
    return 0.7 + _ROW_IN * rows * max(1.0, 0.55 * of_each)
