"""What figures have in common in words, and of what they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.report.figures.looks import MOST_LOADS, MOST_VARIANTS, Palette, palette_of
from analysis.results.points import Point, Results

_SHORT = 12  # GPU-1a2b3c4d: nvidia-smi's own short form


@dataclass(frozen=True)
class Scene:
    """The data that a run's figures are drawn from."""

    results: Results
    note: str  # after titles: that the joules are estimated, or nothing
    concurrency: Callable[[str], int | None]  # requests in flight, by load; None: it keeps no number of them
    palette: Palette

    def points_with(self, model: str, *metrics: str) -> list[Point]:
        """List the points of a model that have all of these metrics."""
        points = self.results.points_of(model)
        return [point for point in points if None not in [point.mean(name) for name in metrics]]


def scene_of(results: Results, note: str, concurrency: Callable[[str], int | None]) -> Scene:
    """Make it of a run's results, with looks of its own."""
    return Scene(results, note, concurrency, palette_of([results]))


def said(label: str, note: str) -> str:
    """Label an axis, which says by itself that it is estimated: a figure may be cut out of its page."""
    return f"estimated {label}" if note else label


def each_in_words(points: Sequence[Point], words: Callable[[Point], str]) -> str:
    """Say in a description what ``words`` say of every point."""
    return "; ".join(f"{point.variant} under {point.load} {words(point)}" for point in points)


def few(points: Sequence[Point], *, by_load: bool = True) -> tuple[list[Point], str]:
    """Return the points of as many variants and loads as a figure can tell apart, and a caption's words on the others.

    ``by_load``: the figure tells loads apart by how they look, not by where they stand.
    """
    kept, words = list(points), ""
    names = zip(
        ("variant", "load"), names_in(points), (MOST_VARIANTS, MOST_LOADS if by_load else None), strict=True
    )
    for kind, every, most in names:
        if most is not None and len(every) > most:
            kept = [point for point in kept if getattr(point, kind) in every[:most]]
            words += f" The first {most} of {len(every)} {kind}s; the tables have all."
    return kept, words


def names_in(points: Sequence[Point]) -> tuple[list[str], list[str]]:
    """Name variants and loads, each once, in the points' order."""
    return (
        list(dict.fromkeys(point.variant for point in points)),
        list(dict.fromkeys(point.load for point in points)),
    )


def short_names(devices: Sequence[str]) -> list[str]:
    """Name devices by as much of their beginnings as tells them apart; whole where they are short (UUIDs are not)."""
    for length in range(_SHORT, max(map(len, devices), default=0)):
        names = [device if len(device) <= length else f"{device[:length]}…" for device in devices]
        if len(set(names)) == len(names):
            return names
    return list(devices)


def interval_words(points: Sequence[Point], metric: str = "j_per_request") -> str:
    """Return what a caption says of the bars; why there are none where there are none."""
    if any(point.interval(metric) is not None for point in points):
        return " Bars are 95 % intervals of the mean over blocks, one by one."
    if any(point.one_engine_start for point in points):
        return " The figure has no intervals over blocks (one engine start each); ratios with theirs are in the tables."
    return " There are no intervals over blocks: that takes three valid ones."


def reach(points: Sequence[Point], metric: str) -> list[float]:
    """Return all that an axis has to hold: means, blocks, and ends of intervals."""
    values = [point.mean(metric) or 0.0 for point in points]
    for point in points:
        values += [*point.values.get(metric, ()), *(point.interval(metric) or ())]
        values += [end for bounds in point.bounds.get(metric, ()) if bounds for end in bounds]
    return values
