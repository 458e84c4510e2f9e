"""What is paid for what: joules against latency, and joules per solved task against pass@1."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.report.figures.axes import interval, legend_above, mark, scaled, swatches
from analysis.report.figures.captions import Scene, each_in_words, few, interval_words, names_in, reach, said
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.looks import GREY
from analysis.results.points import Bounds, Point
from analysis.results.sentences import mean_words, significant
from starwatt_errors import first_few

_SOLVED, _PASSED = "j_per_solved_task", "pass_at_1_plus"
_MOST_LISTED = 12


def joules_against_latency(scene: Scene, model: str) -> Drawing | None:
    """Draw J/request over the median end-to-end latency: a colour a variant, a shape a load."""
    points, left_out = few(scene.points_with(model, "j_per_request", "e2e_p50_ms"))
    if not points:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        scaled(axes, "x", reach(points, "e2e_p50_ms"))
        scaled(axes, "y", reach(points, "j_per_request"))
        _scatter(figure, axes, scene, points, ("e2e_p50_ms", "j_per_request"))
        axes.set_xlabel("median end-to-end latency, ms")
        axes.set_ylabel(said("J / request (gross)", scene.note))

    words = each_in_words(
        points,
        lambda point: (
            f"{mean_words(point, 'j_per_request')} joules at {significant(point.mean('e2e_p50_ms'))} milliseconds"
        ),
    )
    return Drawing(
        name=f"latency-{model}",
        title=f"J/request against latency{scene.note}",
        description=f"Scatter plot of joules per request{scene.note} over median latency: {words}.",
        caption=f"Lower left is better on both.{interval_words(points)}{left_out}",
        height=3.0,
        paint=paint,
    )


def joules_against_accuracy(scene: Scene, model: str) -> Drawing | None:
    """Draw J per solved task over pass@1, which ends at 1; the line joins what nothing else beats on both."""
    solved = scene.points_with(model, _PASSED, _SOLVED)
    if len(solved) < 2:
        return None
    graded = scene.points_with(model, _PASSED)
    points, left_out = few(solved)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        scaled(axes, "y", reach(points, _SOLVED))
        _ends_at_one(axes, reach(points, _PASSED))
        front = [[point.mean(name) or 0.0 for point in pareto(points)] for name in (_PASSED, _SOLVED)]
        axes.plot(*front, color=GREY, linewidth=0.9, zorder=0.5)
        _scatter(figure, axes, scene, points, (_PASSED, _SOLVED), most_across=1.0)
        axes.set_xlabel("pass@1, base and plus")
        axes.set_ylabel(said("J / solved task", scene.note))

    words = each_in_words(
        points,
        lambda point: f"{mean_words(point, _SOLVED)} joules at pass@1 {significant(point.mean(_PASSED))}",
    )
    unsolved = first_few(
        [f"{point.variant} under {point.load}" for point in graded if point not in solved], _MOST_LISTED
    )
    return Drawing(
        name=f"solved-{model}",
        title=f"J per solved task against pass@1{scene.note}",
        description=f"Scatter plot of joules per solved task{scene.note} over pass@1: {words}.",
        caption=f"Lower right is better on both; {_front_words(pareto(points))}."
        + interval_words(points, _SOLVED)
        + (f" Nothing was solved by {unsolved}." if unsolved else "")
        + (" The model memorised its tasks." if model in scene.results.memorised else "")
        + left_out,
        height=3.0,
        paint=paint,
    )


def _front_words(front: Sequence[Point]) -> str:
    """Say what the line joins; no line is drawn through one point."""
    if len(front) > 1:
        return "the line joins what nothing else beats on both"
    return f"{front[0].variant} under {front[0].load} beats all others on both"


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return those that no other has both fewer joules a solved task than and a higher pass@1, by pass@1."""

    def beaten(point: Point) -> bool:
        mine = point.mean(_SOLVED) or 0.0, -(point.mean(_PASSED) or 0.0)
        others = ((other.mean(_SOLVED) or 0.0, -(other.mean(_PASSED) or 0.0)) for other in points)
        return any(other[0] <= mine[0] and other[1] <= mine[1] and other != mine for other in others)

    return sorted(
        (point for point in points if not beaten(point)), key=lambda point: point.mean(_PASSED) or 0.0
    )


def _scatter(
    figure: Figure,
    axes: Axes,
    scene: Scene,
    points: Sequence[Point],
    metrics: tuple[str, str],
    most_across: float | None = None,
) -> None:
    """One metric over another, both known of every point: a colour a variant, a shape a load."""
    across, up = metrics
    for point in points:
        look, at = scene.palette.variant(point.variant), (point.mean(across) or 0.0, point.mean(up) or 0.0)
        interval(axes, at[0], point.interval(up), look.colour)
        interval(axes, at[1], _within(point.interval(across), most_across), look.colour, across=True)
        axes.plot(
            [at[0]], [at[1]], linestyle="none", marker=scene.palette.shape(point.load), clip_on=False, zorder=3,
            **look.mark,
        )  # fmt: skip
    variants, loads = names_in(points)
    legend_above(
        figure,
        swatches(scene.palette, variants),
        [(mark(None, scene.palette.shape(name)), name) for name in loads],
    )


def _within(ends: Bounds | None, most: float | None) -> Bounds | None:
    return ends if ends is None or most is None else (min(ends[0], most), min(ends[1], most))


def _ends_at_one(axes: Axes, shares: Sequence[float]) -> None:
    least = min(1.0, *shares)
    axes.set_xlim(max(0.0, least - max(0.08, 0.1 * (1 - least))), 1.0)
