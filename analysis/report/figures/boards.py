"""Joules and latency over what the boards were set to: a line a variant and load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis.report.figures.axes import curve, legend_above, mark, scaled, swatches
from analysis.report.figures.captions import Scene, each_in_words, few, interval_words, reach, said
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.looks import SHAPES, Look
from analysis.results.points import Point
from analysis.results.sentences import mean_words, significant
from traces.layout import board_of, load_asked

_JOULES, _LATENCY = "j_per_request", "e2e_p50_ms"
_LIMIT, _CLOCK = "board_power_limit_w", "board_locked_clock_mhz"
_AXES = {_LIMIT: "power limit of a board, W", _CLOCK: "locked clock, MHz"}
_FEWEST = 2


@dataclass(frozen=True)
class _Curve:
    """One variant under one load, along an axis."""

    line: Sequence[tuple[float, Point]]
    """Points by where they stand along the axis."""
    look: Look
    shape: str


def joules_over_limits(scene: Scene, model: str) -> Drawing | None:
    """Draw J/request above, median latency below, over the power limit and the locked clock, as far as they vary."""
    set_boards = [
        point for point in scene.points_with(model, _JOULES, _LATENCY) if board_of(point.load) is not None
    ]
    points, left_out = few(set_boards, by_load=False)
    shapes = {load: SHAPES[k % len(SHAPES)] for k, load in enumerate(_loads(points))}
    along = {axis: _along(points, axis) for axis in _AXES}
    shown = {axis: values for axis, values in along.items() if len(set(values.values())) >= _FEWEST}
    if not shown:
        return None
    drawn = [point for k, point in enumerate(points) if any(k in values for values in shown.values())]

    def paint(figure: Figure) -> None:
        rows = figure.subplots(2, len(shown), sharex="col", sharey="row", squeeze=False)
        for column, (axis, at) in enumerate(shown.items()):
            curves = _curves(scene, points, at, shapes)
            for row, metric in enumerate((_JOULES, _LATENCY)):
                scaled(rows[row][column], "y", reach(drawn, metric))
                for drawn_curve in curves:
                    curve(rows[row][column], drawn_curve.line, metric, drawn_curve.look, drawn_curve.shape)
            rows[1][column].set_xlabel(_AXES[axis])
        rows[0][0].set_ylabel(said("J / request (gross)", scene.note))
        rows[1][0].set_ylabel("median latency, ms")
        variants = dict.fromkeys(point.variant for point in drawn)
        legend_above(
            figure,
            swatches(scene.palette, variants),
            [(mark(None, shapes[load]), load) for load in _loads(drawn)],
        )

    words = each_in_words(
        drawn,
        lambda point: (
            f"{mean_words(point, _JOULES)} joules at {significant(point.mean(_LATENCY))} milliseconds"
        ),
    )
    return Drawing(
        name=f"limits-{model}",
        title=f"J/request and latency over power limit and clock{scene.note}",
        description=f"Line charts of joules per request{scene.note} and of median latency over what the boards were "
        f"set to: {words}.",
        caption="A setting without a limit of its own stands at the limit that the boards were found with."
        f"{interval_words(drawn)}{left_out}",
        height=4.2,
        paint=paint,
    )


def _loads(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(load_asked(point.load) for point in points))


def _along(points: Sequence[Point], axis: str) -> dict[int, float]:
    """Where points stand on an axis, by their place: a locked clock is no point of the limits."""
    values = {}
    for k, point in enumerate(points):
        value, locked = point.mean(axis), point.mean(_CLOCK) is not None
        if value is not None and locked == (axis == _CLOCK):
            values[k] = value
    return values


def _curves(
    scene: Scene, points: Sequence[Point], at: Mapping[int, float], shapes: Mapping[str, str]
) -> list[_Curve]:
    groups: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for k, value in at.items():
        groups.setdefault((points[k].variant, load_asked(points[k].load)), []).append((value, k))
    return [
        _Curve(
            [(value, points[k]) for value, k in sorted(places)], scene.palette.variant(variant), shapes[load]
        )
        for (variant, load), places in groups.items()
    ]
