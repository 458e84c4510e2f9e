"""How far joules of single requests spread, by the best rule that every cell allows."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.report.figures.axes import legend_above, scaled, swatches
from analysis.report.figures.captions import Scene, few, names_in, said
from analysis.report.figures.drawing import Drawing
from analysis.results.points import Point
from analysis.results.sentences import significant

_RULES = ("phase", "tokens")
_BAR_IN, _GAP = 0.13, 1.0  # a bar's height in inches, and the gap between two loads in bars


def joules_of_requests(scene: Scene, model: str) -> Drawing | None:
    """Draw where nine of ten requests lie, and the middle one: a group a load, a bar a variant."""
    rule = max(_RULES, key=lambda rule: len(scene.points_with(model, _quantile(rule, 50))))
    points, left_out = few(scene.points_with(model, _quantile(rule, 50)), by_load=False)
    if not points:
        return None
    places, groups = _places(points)
    quantiles = [[point.mean(_quantile(rule, q)) or 0.0 for q in (10, 50, 90)] for point in points]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        scaled(axes, "x", [value for three in quantiles for value in three])
        for y, point, (low, middle, high) in zip(places, points, quantiles, strict=True):
            look = scene.palette.variant(point.variant)
            axes.barh([y], [high - low], left=low, height=0.62, alpha=0.55, **look.bar)
            axes.plot([middle], [y], color=look.colour, marker="|", markersize=7, markeredgewidth=1.6)
        axes.set_yticks([at for _, at in groups], [name for name, _ in groups])
        axes.set_ylim(max(places) + 0.8, min(places) - 0.8)
        axes.set_xlabel(said("J of single requests", scene.note))
        variants, _ = names_in(points)
        legend_above(figure, swatches(scene.palette, variants))

    words = "; ".join(
        f"{point.variant} under {point.load} {significant(low)} to {significant(high)} joules, the middle one "
        f"{significant(middle)}"
        for point, (low, middle, high) in zip(points, quantiles, strict=True)
    )
    return Drawing(
        name=f"requests-{model}",
        title=f"Joules of single requests{scene.note}",
        description=f"Range chart of joules of single requests{scene.note}, from the tenth percentile to the "
        f"ninetieth: {words}.",
        caption=f"From the 10th to the 90th percentile, and the median; means over blocks. Attributed by the rule "
        f"{rule}: what one of several requests in flight cost is a rule, not a reading.{left_out}",
        height=max(1.2, 0.7 + _BAR_IN * (max(places) - min(places) + 1.6)),
        paint=paint,
    )


def _places(points: Sequence[Point]) -> tuple[list[float], list[tuple[str, float]]]:
    """Return the height of each bar, in bars from above, and the middle of each load's group."""
    _, loads = names_in(points)
    heights: dict[int, float] = {}
    groups, at = [], 0.0
    for load in loads:
        members = [k for k, point in enumerate(points) if point.load == load]
        heights |= {k: at + place for place, k in enumerate(members)}
        groups.append((load, at + (len(members) - 1) / 2))
        at += len(members) + _GAP
    return [heights[k] for k in range(len(points))], groups


def _quantile(rule: str, q: int) -> str:
    return f"energy_{rule}_request_p{q}_j"
