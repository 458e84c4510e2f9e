"""Figures of what is paid for what: joules over concurrency, joules per solved task, and the spread over requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.report.figures.drawing import (
    Drawing,
    beside,
    drawn,
    each_in_words,
    few,
    interval_words,
    names_in,
    points_with,
    said,
    scatter,
    whisker,
    width_for,
    with_interval,
)
from analysis.report.figures.looks import look_of_load, marker_of
from analysis.results.headline import significant
from analysis.results.points import Point, Results

_SOLVED, _PASSED = "j_per_solved_task", "pass_at_1_plus"
_RULES = ("phase", "tokens")


def joules_over_concurrency(
    results: Results, model: str, note: str, concurrency: Callable[[str], int | None]
) -> Drawing | None:
    """A line a variant over requests in flight, a dot a block; dashed where it crosses the baseline."""
    points, left_out = few(
        [one for one in points_with(results, model, "j_per_request") if concurrency(one.load) is not None],
        by_load=False,
    )
    number = {one.load: concurrency(one.load) or 0 for one in points}
    ticks = sorted(set(number.values()))
    if len(ticks) < 2:
        return None
    variants, _ = names_in(points)
    found = {one.variant: one.value("crossover_concurrency") for one in results.of(model, "crossover")}
    crossings = {name: at for name, at in found.items() if name in variants and at is not None}

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for k, variant in enumerate(variants):
            own = [(number[one.load], one) for one in points if one.variant == variant]
            _line(axes, own, k, crossings.get(variant))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.set_xlabel("requests in flight")
        axes.set_ylabel(said("J / request (gross)", note))
        beside(axes, len(variants))

    words = [
        f"{one.variant} at {number[one.load]} {with_interval(one, 'j_per_request')} joules" for one in points
    ]
    words += [f"{name} crosses the baseline at {significant(at)} in flight" for name, at in crossings.items()]
    return drawn(
        name=f"concurrency-{model}",
        title=f"J/request over concurrency{note}",
        size=(width_for(len(variants)), 4.2),
        paint=paint,
        description=f"Line chart of joules per request{note} over requests in flight, both logarithmic: "
        f"{'; '.join(words)}.",
        caption="Each dot is one block. A dashed line is where a variant begins or ceases to cost less than the "
        f"baseline, linear between loads.{interval_words(points)}{left_out}",
    )


def _line(axes: Axes, points: Sequence[tuple[int, Point]], k: int, crossing: float | None) -> None:
    """The k-th variant's means, its blocks, and where it crosses the baseline."""
    own = sorted(points, key=lambda pair: pair[0])
    colour, marker = marker_of(k)
    means = [one.mean("j_per_request") or 0.0 for _, one in own]
    axes.plot(
        [at for at, _ in own], means, color=colour, marker=marker, markersize=7, label=own[0][1].variant
    )
    for at, one in own:
        blocks = one.values["j_per_request"]
        axes.plot([at] * len(blocks), blocks, color=colour, marker=".", linestyle="none", markersize=4)
        whisker(axes, at, one.interval("j_per_request"), colour, 1.8)
    if crossing is not None:
        axes.axvline(crossing, color=colour, linestyle="--", linewidth=0.9)


def joules_against_accuracy(results: Results, model: str, note: str) -> Drawing | None:
    """J per solved task over pass@1; the line joins what nothing else beats on both."""
    solved = points_with(results, model, _PASSED, _SOLVED)
    if len(solved) < 2:
        return None
    graded = points_with(results, model, _PASSED)
    points, left_out = few(solved)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        front = [[one.mean(name) or 0.0 for one in pareto(points)] for name in (_PASSED, _SOLVED)]
        axes.plot(*front, color="#999999", linewidth=1.0, zorder=0)
        scatter(axes, points, _PASSED, _SOLVED)
        axes.set_yscale("log")
        axes.set_xlabel("pass@1, base and plus")
        axes.set_ylabel(said("J / solved task", note))

    words = each_in_words(
        points, lambda one: f"{with_interval(one, _SOLVED)} joules at pass@1 {significant(one.mean(_PASSED))}"
    )
    unsolved = _listed([f"{one.variant} under {one.load}" for one in graded if one not in solved])
    return drawn(
        name=f"solved-{model}",
        title=f"J per solved task against pass@1{note}",
        size=(width_for(sum(map(len, names_in(points)))), 4.2),
        paint=paint,
        description=f"Scatter plot of joules per solved task{note} over pass@1: {words}.",
        caption="Lower right is better on both; the line joins what nothing else beats on both."
        + interval_words(points, _SOLVED)
        + (f" Nothing was solved by {unsolved}." if unsolved else "")
        + (" The model memorised its tasks." if model in results.memorised else "")
        + left_out,
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


_MOST_LISTED = 12


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those that no other has both fewer joules a solved task than and a higher pass@1, by pass@1."""

    def beaten(one: Point) -> bool:
        mine = one.mean(_SOLVED) or 0.0, -(one.mean(_PASSED) or 0.0)
        others = ((other.mean(_SOLVED) or 0.0, -(other.mean(_PASSED) or 0.0)) for other in points)
        return any(other[0] <= mine[0] and other[1] <= mine[1] and other != mine for other in others)

    return sorted((one for one in points if not beaten(one)), key=lambda one: one.mean(_PASSED) or 0.0)


def joules_of_requests(results: Results, model: str, note: str) -> Drawing | None:
    """Where nine of ten requests lie, and the middle one, by the best rule that every cell allows."""
    rule = max(_RULES, key=lambda one: len(points_with(results, model, _quantile(one, 50))))
    points, left_out = few(points_with(results, model, _quantile(rule, 50)), by_load=False)
    if not points:
        return None
    _, loads = names_in(points)
    quantiles = [[one.mean(_quantile(rule, q)) or 0.0 for q in (10, 50, 90)] for one in points]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for y, (one, (low, middle, high)) in enumerate(zip(points, quantiles, strict=True)):
            look = look_of_load(loads.index(one.load))
            axes.barh([y], [high - low], left=low, height=0.3, alpha=0.45, **look.bar)
            axes.plot([middle], [y], color=look.colour, marker="|", markersize=12, markeredgewidth=2)
        axes.set_yticks(range(len(points)), [f"{one.variant} · {one.load}" for one in points])
        axes.set_ylim(len(points) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.set_xlabel(said("J of single requests", note))

    words = "; ".join(
        f"{one.variant} under {one.load} {significant(low)} to {significant(high)} joules, the middle one "
        f"{significant(middle)}"
        for one, (low, middle, high) in zip(points, quantiles, strict=True)
    )
    return drawn(
        name=f"requests-{model}",
        title=f"Joules of single requests{note}",
        size=(7.0, 1.0 + 0.32 * len(points)),
        paint=paint,
        description=f"Range chart of joules of single requests{note}, from the tenth percentile to the ninetieth: "
        f"{words}.",
        caption=f"From the 10th to the 90th percentile, and the median; means over blocks. Attributed by the rule "
        f"{rule}: what one of several requests in flight cost is a rule, not a reading.{left_out}",
    )


def _quantile(rule: str, q: int) -> str:
    return f"energy_{rule}_request_p{q}_j"
