"""J/request over requests in flight, a line a variant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from analysis.report.figures.axes import curve, font_size, legend_above, scaled, spread_apart, width_pt
from analysis.report.figures.captions import Scene, few, interval_words, names_in, reach, said
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.looks import Look
from analysis.results.points import Point
from analysis.results.sentences import mean_words, significant

_HEIGHT = 3.1
_MOST_BESIDE = 0.3  # of the figure's width, what names beside lines may take
_AXES_PT = 0.8 * _HEIGHT * 72  # about how high the axes themselves are
_CROSSING = (
    " A dashed line is where a variant begins or ceases to cost less than the baseline, linear between loads: where "
    "their ratio, paired within blocks, has geometric mean 1. Lines join means over blocks, and may cross elsewhere."
)
_APART = 0.03  # of the axis, between marks of two variants at one load


def joules_over_concurrency(scene: Scene, model: str) -> Drawing | None:
    """Draw a line a variant over requests in flight, named at its end; dashed upright where it crosses the baseline."""
    points, left_out = few(
        [
            point
            for point in scene.results.at_reference(scene.points_with(model, "j_per_request"))
            if scene.concurrency(point.load) is not None
        ],
        by_load=False,
    )
    number = {point.load: scene.concurrency(point.load) or 0 for point in points}
    ticks = sorted(set(number.values()))
    if len(ticks) < 2:
        return None
    variants, _ = names_in(points)
    crossed = scene.results.at_reference(scene.results.of(model, "crossover"))
    crossings_of = {contrast.variant: contrast.value("crossover_concurrency") for contrast in crossed}
    crossings = {name: at for name, at in crossings_of.items() if name in variants and at is not None}
    shifts = _shifts(variants, ticks)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xscale("log", base=2)
        scaled(axes, "y", reach(points, "j_per_request"))
        ends = {}
        for name in variants:
            line = [(number[point.load] * shifts[name], point) for point in points if point.variant == name]
            ends[name] = _line(axes, line, scene.palette.variant(name), crossings.get(name))
        axes.set_xlim(ticks[0] / 1.15, ticks[-1] * 1.15)
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("requests in flight")
        axes.set_ylabel(said("J / request (gross)", scene.note))
        if not _named_at_their_ends(axes, figure, ends, scene):
            entries = [(_sample(scene.palette.variant(name)), name) for name in variants]
            legend_above(figure, entries)

    words = [
        f"{point.variant} at {number[point.load]} {mean_words(point, 'j_per_request')} joules"
        for point in points
    ]
    words += [f"{name} crosses the baseline at {significant(at)} in flight" for name, at in crossings.items()]
    return Drawing(
        name=f"concurrency-{model}",
        title=f"J/request over concurrency{scene.note}",
        description=f"Line chart of joules per request{scene.note} over requests in flight: {'; '.join(words)}.",
        caption=f"Each small dot is one block.{_CROSSING if crossings else ''}{interval_words(points)}{left_out}",
        height=_HEIGHT,
        paint=paint,
    )


def _shifts(variants: Sequence[str], ticks: Sequence[int]) -> dict[str, float]:
    """Return by what factor each variant stands aside, so that intervals at one load do not hide each other."""
    step = _APART * math.log(ticks[-1] / ticks[0]) / max(1, len(variants) - 1)
    return {name: math.exp((k - (len(variants) - 1) / 2) * step) for k, name in enumerate(variants)}


def _sample(look: Look) -> Line2D:
    return Line2D([], [], marker="o", linestyle=look.line, **look.mark)


def _line(
    axes: Axes, line: Sequence[tuple[float, Point]], look: Look, crossing: float | None
) -> tuple[float, float]:
    """Draw a variant's means, its blocks, and where it crosses the baseline; return where the line ends."""
    line = sorted(line, key=lambda pair: pair[0])
    curve(axes, line, "j_per_request", look)
    if crossing is not None:
        axes.axvline(crossing, color=look.colour, linestyle="--", linewidth=0.8, zorder=0.5)
    last_at, last = line[-1]
    return last_at, last.mean("j_per_request") or 0.0


def _named_at_their_ends(
    axes: Axes, figure: Figure, ends: Mapping[str, tuple[float, float]], scene: Scene
) -> bool:
    """Write each variant's name beside the end of its line; returns whether there is room for that."""
    size, wanted = font_size(), [_height_pt(axes, y) for _, y in ends.values()]
    widest = max(width_pt(name, size) for name in ends)
    places = spread_apart(wanted, 1.25 * size, 0.0, _AXES_PT)
    if places is None or widest > _MOST_BESIDE * figure.get_figwidth() * 72:
        return False
    for (name, at), before, after in zip(ends.items(), wanted, places, strict=True):
        line = {"arrowstyle": "-", "color": scene.palette.variant(name).colour, "linewidth": 0.8}
        axes.annotate(
            name, at, xytext=(14, after - before), textcoords="offset points", va="center", fontsize=size,
            arrowprops=line | {"shrinkA": 1, "shrinkB": 4}, annotation_clip=False,
        )  # fmt: skip
    return True


def _height_pt(axes: Axes, y: float) -> float:
    """About how high above the axis a value stands."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        low, high, y = math.log(low), math.log(high), math.log(y)
    return (y - low) / (high - low) * _AXES_PT
