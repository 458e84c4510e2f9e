"""Figures of what is paid for what: joules over concurrency, joules per solved task, and the spread over requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.report.drawing import (
    STYLE,
    Drawing,
    few,
    interval_words,
    legend,
    names_in,
    said,
    scatter,
    svg_of,
    whisker,
    width_for,
    with_interval,
)
from analysis.report.looks import look_of_load, marker_of
from analysis.results.headline import significant
from analysis.results.points import Point, Results

_SOLVED, _PASSED = "j_per_solved_task", "pass_at_1_plus"
_RULES = ("phase", "tokens")


def joules_over_concurrency(
    results: Results, model: str, note: str, concurrency: Callable[[str], int | None]
) -> Drawing | None:
    """A line a variant over requests in flight, a dot a block; dashed where it crosses the baseline."""
    points = [
        (at, one)
        for one in results.points
        if one.model == model
        and one.mean("j_per_request") is not None
        and (at := concurrency(one.load)) is not None
    ]
    if len({at for at, _ in points}) < 2:
        return None
    kept, left_out = few([one for _, one in points], by_load=False)
    points = [(at, one) for at, one in points if one in kept]
    variants = list(dict.fromkeys(one.variant for one in kept))
    crossings = {
        one.variant: value
        for one in results.contrasts
        if (one.model, one.kind) == (model, "crossover")
        and one.variant in variants
        and (value := one.value("crossover_concurrency")) is not None
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_for(len(variants)), 4.2), layout="constrained")
        axes = figure.subplots()
        for k, variant in enumerate(variants):
            own = [(at, one) for at, one in points if one.variant == variant]
            _line(axes, own, k, crossings.get(variant))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = sorted({at for at, _ in points})
        axes.set_xticks(ticks, [str(at) for at in ticks])
        axes.set_xlabel("requests in flight")
        axes.set_ylabel(said("J / request (gross)", note))
        legend(axes, len(variants))
        svg = svg_of(figure, f"concurrency-{model}")
    words = "; ".join(
        f"{one.variant} at {at} {with_interval(one, 'j_per_request')} joules" for at, one in points
    )
    crossed = "".join(
        f"; {name} crosses the baseline at {significant(at)} in flight" for name, at in crossings.items()
    )
    return Drawing(
        name=f"concurrency-{model}",
        title=f"J/request over concurrency{note}",
        svg=svg,
        description=f"Line chart of joules per request{note} over requests in flight, both logarithmic: "
        f"{words}{crossed}.",
        caption="Each dot is one block. A dashed line is where a variant begins or ceases to cost less than the "
        f"baseline, linear between loads.{interval_words(kept)}{left_out}",
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
    graded = [one for one in results.points if one.model == model and one.mean(_PASSED) is not None]
    points = [one for one in graded if one.mean(_SOLVED) is not None]
    if len(points) < 2:
        return None
    unsolved = [f"{one.variant} under {one.load}" for one in graded if one not in points]
    points, left_out = few(points)
    front = pareto(points)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_for(sum(map(len, names_in(points)))), 4.2), layout="constrained")
        axes = figure.subplots()
        axes.plot(
            [one.mean(_PASSED) or 0.0 for one in front],
            [one.mean(_SOLVED) or 0.0 for one in front],
            color="#999999",
            linewidth=1.0,
            zorder=0,
        )
        scatter(axes, points, _PASSED, _SOLVED)
        axes.set_yscale("log")
        axes.set_xlabel("pass@1, base and plus")
        axes.set_ylabel(said("J / solved task", note))
        svg = svg_of(figure, f"solved-{model}")
    words = "; ".join(
        f"{one.variant} under {one.load} {with_interval(one, _SOLVED)} joules at pass@1 "
        f"{significant(one.mean(_PASSED))}"
        for one in points
    )
    memorised = " The model memorised its tasks." if model in results.memorised else ""
    return Drawing(
        name=f"solved-{model}",
        title=f"J per solved task against pass@1{note}",
        svg=svg,
        description=f"Scatter plot of joules per solved task{note} over pass@1: {words}.",
        caption="Lower right is better on both; the line joins what nothing else beats on both."
        + interval_words(points, _SOLVED)
        + (f" Nothing was solved by {_listed(unsolved)}." if unsolved else "")
        + memorised
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
    own = [one for one in results.points if one.model == model]
    rule, points = _rule(own)
    if not points:
        return None
    points, left_out = few(points, by_load=False)
    _, loads = names_in(points)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 1.0 + 0.32 * len(points)), layout="constrained")
        axes = figure.subplots()
        for y, one in enumerate(points):
            low, middle, high = (_quantile(one, rule, name) for name in ("p10", "p50", "p90"))
            look = look_of_load(loads.index(one.load))
            axes.barh([y], [high - low], left=low, height=0.3, alpha=0.45, **look.bar)
            axes.plot([middle], [y], color=look.colour, marker="|", markersize=12, markeredgewidth=2)
        axes.set_yticks(range(len(points)), [f"{one.variant} · {one.load}" for one in points])
        axes.set_ylim(len(points) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.set_xlabel(said("J of single requests", note))
        svg = svg_of(figure, f"requests-{model}")
    words = "; ".join(
        f"{one.variant} under {one.load} {significant(_quantile(one, rule, 'p10'))} to "
        f"{significant(_quantile(one, rule, 'p90'))} joules, the middle one {significant(_quantile(one, rule, 'p50'))}"
        for one in points
    )
    return Drawing(
        name=f"requests-{model}",
        title=f"Joules of single requests{note}",
        svg=svg,
        description=f"Range chart of joules of single requests{note}, from the tenth percentile to the ninetieth: "
        f"{words}.",
        caption=f"From the 10th to the 90th percentile, and the median; means over blocks. Attributed by the rule "
        f"{rule}: what one of several requests in flight cost is a rule, not a reading.{left_out}",
    )


def _rule(points: Sequence[Point]) -> tuple[str, list[Point]]:
    """The first rule that has its percentiles for every cell that any rule has them for."""
    found = {
        rule: [one for one in points if one.mean(f"energy_{rule}_request_p50_j") is not None]
        for rule in _RULES
    }
    best = max(_RULES, key=lambda rule: len(found[rule]))
    return best, found[best]


def _quantile(one: Point, rule: str, name: str) -> float:
    return one.mean(f"energy_{rule}_request_{name}_j") or 0.0
