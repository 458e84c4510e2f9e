"""How the report's figures are drawn: style, colours, and inline SVG, the same bytes for the same data."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.contrasts.statistics import RatioEstimate
from analysis.report.figures.looks import MARKERS, MOST_LOADS, MOST_VARIANTS, look_of_load, marker_of
from analysis.results.headline import with_bounds
from analysis.results.points import Bounds, Point, Results

STYLE: Any = {
    "svg.hashsalt": "starwatt",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


_ROWS = 20  # of a legend, in a figure of 4 inches
_SHORT = 12  # GPU-1a2b3c4d: nvidia-smi's own short form


@dataclass(frozen=True)
class Drawing:
    """An inline SVG with its words."""

    name: str
    title: str
    svg: str
    description: str  # what a reader who cannot see it is told
    caption: str


def drawn(
    *,
    name: str,
    title: str,
    size: tuple[float, float],
    paint: Callable[[Figure], None],
    description: str,
    caption: str,
) -> Drawing:
    """Paint a figure in the report's style, and put its words beside it.

    Args:
        name: of the file; ids in the SVG begin with it.
        title: of the figure.
        size: in inches.
        paint: draws into the figure, which has no axes yet.
        description: what a reader who cannot see it is told.
        caption: how to read it.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        svg = svg_of(figure, name)
    return Drawing(name, title, svg, description, caption)


def points_with(results: Results, model: str, *metrics: str) -> list[Point]:
    """List the points of a model that have all of these metrics."""
    return [
        one
        for one in results.points
        if one.model == model and None not in [one.mean(name) for name in metrics]
    ]


def each_in_words(points: Sequence[Point], words: Callable[[Point], str]) -> str:
    """Say in a description what ``words`` say of every point."""
    return "; ".join(f"{one.variant} under {one.load} {words(one)}" for one in points)


def ratio_plot(
    figure: Figure,
    rows: Sequence[str],
    marks: Sequence[tuple[float, int, RatioEstimate]],
    names: Sequence[str],
) -> Axes:
    """Draw ratios with their intervals across rows, and a line at 1.

    Args:
        figure: without axes.
        rows: their names, from above.
        marks: each a height in rows, the number of its name, and a ratio that is known.
        names: what the marks stand for; a single one needs no legend.
    """
    axes = figure.subplots()
    for y, which, estimate in marks:
        colour, marker = marker_of(which)
        if estimate.bounds is not None:
            axes.plot(estimate.bounds, [y, y], color=colour, linewidth=1.6)
        axes.plot([estimate.ratio or 1.0], [y], marker=marker, color=colour, linestyle="none")
    for which, name in enumerate(names):
        colour, marker = marker_of(which)
        axes.plot([], [], linestyle="none", label=name, color=colour, marker=marker)
    axes.axvline(1.0, color="#555555", linewidth=0.8, zorder=0)
    axes.set_yticks(np.arange(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if len(names) > 1:
        beside(axes, len(names))
    return axes


def said(label: str, note: str) -> str:
    """An axis says by itself that it is estimated: a figure may be cut out of its page."""
    return f"estimated {label}" if note else label


def few(points: Sequence[Point], *, by_load: bool = True) -> tuple[list[Point], str]:
    """The points of as many variants and loads as one figure can tell apart, and what its caption says of the others.

    ``by_load``: the figure tells loads apart by how they look, not by where they stand.
    """
    kept, words = list(points), ""
    names = zip(
        ("variant", "load"), names_in(points), (MOST_VARIANTS, MOST_LOADS if by_load else None), strict=True
    )
    for kind, every, most in names:
        if most is not None and len(every) > most:
            kept = [one for one in kept if getattr(one, kind) in every[:most]]
            words += f" The first {most} of {len(every)} {kind}s; the tables have all."
    return kept, words


def beside(axes: Axes, names: int, rows: int = _ROWS) -> None:
    """A legend at the right of the axes, with as many columns as it takes."""
    columns = max(1, -(-names // rows))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=columns)


def width_for(names: int) -> float:
    """Of a figure with one pair of axes, in inches: every column of its legend but the first makes it wider."""
    return 7.0 + 1.8 * max(0, -(-names // _ROWS) - 1)


def short_names(devices: Sequence[str]) -> list[str]:
    """Devices by as much of their names' beginnings as tells them apart; whole where they are short (UUIDs are not)."""
    for length in range(_SHORT, max(map(len, devices), default=0)):
        names = [one if len(one) <= length else f"{one[:length]}…" for one in devices]
        if len(set(names)) == len(names):
            return names
    return list(devices)


def whisker(axes: Axes, x: float, interval: Bounds | None, colour: str, width: float = 1.2) -> None:
    """An upright bar from one end of an interval to the other; nothing where there is none."""
    if interval is not None:
        axes.plot([x, x], interval, color=colour, linewidth=width, solid_capstyle="butt")


def with_interval(point: Point, metric: str) -> str:
    """The mean in words, with what it is between by 95 %."""
    return with_bounds(point.mean(metric), *(point.interval(metric) or (None, None)))


def interval_words(points: Sequence[Point], metric: str = "j_per_request") -> str:
    """What a caption says of the bars; why there are none where there are none."""
    if any(one.interval(metric) is not None for one in points):
        return " Bars are 95 % intervals of the mean over blocks, one by one."
    if any(one.one_engine_start for one in points):
        return " There are no intervals over blocks: each variant had one engine start."
    return " There are no intervals over blocks: that takes three valid ones."


def scatter(axes: Axes, points: Sequence[Point], across: str, up: str) -> None:
    """One metric over another, both known of every point: a load's look, a marker a variant."""
    variants, loads = names_in(points)
    for point in points:
        look = look_of_load(loads.index(point.load))
        at = point.mean(across) or 0.0, point.mean(up) or 0.0
        whisker(axes, at[0], point.interval(up), look.colour)
        if (sideways := point.interval(across)) is not None:
            axes.plot(sideways, [at[1], at[1]], color=look.colour, linewidth=1.2)
        axes.plot(
            [at[0]],
            [at[1]],
            marker=MARKERS[variants.index(point.variant)],
            color=look.colour,
            markerfacecolor=look.inside,
            linestyle="none",
            markersize=8,
        )
    for k, load in enumerate(loads):
        axes.fill_between([], [], **look_of_load(k).bar, label=load)
    for k, variant in enumerate(variants):
        axes.plot([], [], color="#333333", marker=MARKERS[k], linestyle="none", label=variant)
    beside(axes, len(loads) + len(variants))


def names_in(points: Sequence[Point]) -> tuple[list[str], list[str]]:
    """Variants and loads, each once, in the points' order."""
    return (
        list(dict.fromkeys(one.variant for one in points)),
        list(dict.fromkeys(one.load for one in points)),
    )


def svg_of(figure: Figure, prefix: str) -> str:
    """The figure as an element for inlining: no prolog, no metadata, ids of its own."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(href="|url\()#', rf"\g<1>#{prefix}-", text)
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", re.sub(r'height="[\d.]+pt" ', "", text, count=1), count=1
    )
