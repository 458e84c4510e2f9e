"""What axes have in common: plain numbers, legends outside, intervals with caps, and labels that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from analysis.report.figures.looks import INK, Look, Palette
from analysis.results.points import Bounds, Point

_MOST_TICKS = 7
_SPREAD = 6.0  # of the largest over the smallest, from which on an axis is logarithmic
_BESIDE_PT = 42.0  # of a figure's width, about what an axis' own numbers and name take


def is_wide(values: Sequence[float]) -> bool:
    """Say whether positive values spread so far that the small ones would vanish on a plain axis."""
    return min(values) > 0 and max(values) / min(values) >= _SPREAD


def scaled(axes: Axes, which: str, values: Sequence[float], *, room: float = 1.3) -> None:
    """Scale an axis for values: logarithmic with plain numbers where they spread far, else from zero on.

    Args:
        axes: whose.
        which: ``x`` or ``y``.
        values: all that is drawn along it, ends of intervals too.
        room: by what factor the axis goes beyond the values, where it is logarithmic.
    """
    low, high = min(values), max(values)
    if not is_wide(values):
        axes.set(**{f"{which}lim": (0, high * 1.12 or 1.0)})
        return
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low / room, high * room)})
    plain_numbers(axes.yaxis if which == "y" else axes.xaxis, low / room, high * room)


def plain_numbers(axis: Axis, low: float, high: float) -> None:
    """Mark a logarithmic axis with 1, 2, 5, 10 and so on, written out; with evenly spaced ones where it is short."""
    axis.set_major_locator(FixedLocator(_ticks(low, high)))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.10g}".replace(",", "\N{NO-BREAK SPACE}"))
    )
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        ticks = [
            mantissa * 10.0**k for k in decades for mantissa in mantissas if low <= mantissa * 10.0**k <= high
        ]
        if len(ticks) <= _MOST_TICKS:
            break
    if len(ticks) >= 3:
        return ticks
    evenly = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in evenly if low <= tick <= high and tick > 0]


@lru_cache(maxsize=4096)
def width_pt(text: str, size: float) -> float:
    """Return how wide a text is, in points."""
    if not text.strip():
        return 0.0
    return float(
        TextPath((0, 0), text, prop=FontProperties(family="DejaVu Sans", size=size)).get_extents().width
    )


def room_pt(figure: Figure) -> float:
    """Say about how wide a figure's axes are, in points."""
    return float(figure.get_figwidth()) * 72 - _BESIDE_PT


def font_size() -> float:
    """Return the size of ticks and labels, in points, as the style in force has it."""
    return float(mpl.rcParams["legend.fontsize"])


def legend_above(figure: Figure, *groups: Sequence[tuple[Artist, str]]) -> None:
    """Put a legend above the axes, outside of them; the figure grows by its height.

    Each group begins a row of its own, and has as many columns as fit.
    """
    size = font_size()
    entries = [entry for group in groups for entry in group]
    if not entries:
        return
    widest = max(width_pt(name, size) for _, name in entries) + 3.9 * size
    columns = max(1, min(max(map(len, groups)), int((figure.get_figwidth() * 72 - 8) // widest)))
    rows = [group[k : k + columns] for group in groups for k in range(0, len(group), columns)]
    blank = Line2D([], [], linestyle="none"), " "
    # matplotlib fills columns; a row is to be read on
    read = [row[k] if k < len(row) else blank for k in range(columns) for row in rows]
    figure.set_figheight(figure.get_figheight() + (len(rows) * 1.55 * size + 4) / 72)
    figure.legend(
        [handle for handle, _ in read], [name for _, name in read], loc="outside upper left", ncols=columns,
        frameon=False, handlelength=1.6, columnspacing=1.4, labelspacing=0.35, borderpad=0.1, borderaxespad=0.2,
    )  # fmt: skip


def swatches(palette: Palette, variants: Iterable[str]) -> list[tuple[Patch, str]]:
    """Return the colours of variants and their names, for a legend."""
    return [(Patch(**palette.variant(name).bar), name) for name in variants]


def mark(look: Look | None, shape: str, **more: Any) -> Line2D:
    """Return a mark, for a legend; of a load it has no variant's colour."""
    drawn = {"color": INK} if look is None else look.mark
    return Line2D([], [], linestyle="none", marker=shape, **{**drawn, **more})


def interval(axes: Axes, at: float, ends: Bounds | None, colour: str, *, across: bool = False) -> None:
    """Draw an interval as a line with caps through the mark at ``at``; nothing where there is none."""
    if ends is None:
        return
    places = ([*ends], [at, at]) if across else ([at, at], [*ends])
    axes.plot(*places, color=colour, linewidth=1.0, solid_capstyle="butt", zorder=2.5)
    axes.plot(
        *places, color=colour, linestyle="none", marker="|" if across else "_", markersize=5, zorder=2.5
    )


def curve(axes: Axes, line: Sequence[tuple[float, Point]], metric: str, look: Look, shape: str = "o") -> None:
    """Draw the means of points over where they stand along x, each with its blocks and its interval."""
    means = [point.mean(metric) or 0.0 for _, point in line]
    axes.plot([at for at, _ in line], means, marker=shape, linestyle=look.line, **look.mark)
    for at, point in line:
        blocks = point.values[metric]
        axes.plot([at] * len(blocks), blocks, color=look.colour, marker=".", linestyle="none", markersize=2.5)
        interval(axes, at, point.interval(metric), look.colour)


def tick_names(axes: Axes, figure: Figure, names: Sequence[str]) -> None:
    """Name places along x, upright or aslant where they would meet."""
    widest = max((width_pt(name, font_size()) for name in names), default=0.0)
    axes.set_xticks(range(len(names)), list(names))
    if widest + 4 > room_pt(figure) / max(1, len(names)):
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")


def spread_apart(places: Sequence[float], least: float, low: float, high: float) -> list[float] | None:
    """Place labels as near to where they belong as they can be at least ``least`` apart, within two ends.

    None where there is no room for them, or one would be moved by more than two of that.
    """
    if not places or (len(places) - 1) * least > high - low:
        return None
    order = np.argsort(places)
    groups: list[
        list[float]
    ] = []  # of neighbours that touch: the middle that they want, and how many they are
    for place in (places[k] for k in order):
        groups.append([place, 1])
        while len(groups) > 1 and _top(groups[-2], least) + least > _bottom(groups[-1], least):
            (middle, count), (other, more) = groups[-2], groups.pop()
            groups[-1] = [(middle * count + other * more) / (count + more), count + more]
    moved: list[float] = []
    for middle, count in groups:
        first = min(max(middle - (count - 1) / 2 * least, low), high - (count - 1) * least)
        first = max(first, moved[-1] + least) if moved else first
        moved += [first + k * least for k in range(int(count))]
    placed = [0.0] * len(places)
    for k, place in zip(order, moved, strict=True):
        placed[k] = place
    apart = all(abs(now - wanted) <= 2 * least for now, wanted in zip(placed, places, strict=True))
    return placed if apart and moved[-1] <= high + 1e-9 else None


def _bottom(group: Sequence[float], least: float) -> float:
    return group[0] - (group[1] - 1) / 2 * least


def _top(group: Sequence[float], least: float) -> float:
    return group[0] + (group[1] - 1) / 2 * least
