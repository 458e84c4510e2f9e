"""The report's figures: inline SVG, the same bytes for the same data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arrays import Floats, Ints
from analysis.energy.integral import PowerSeries
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
    short_names,
    whisker,
    width_for,
    with_interval,
)
from analysis.report.figures.looks import COLOURS, Look, line_of, look_of_load
from analysis.results.headline import significant
from analysis.results.points import Point, Results
from traces.cell import Phases

_PHASES = (
    ("idle_before", "idle", "#d9d9d9"),
    ("warmup", "warm-up", "#fde0b5"),
    ("window", "window", "#c7e3f5"),
    ("drain", "drain", "#fde0b5"),
    ("idle_after", "idle", "#d9d9d9"),
)
MOST_POINTS = 1200


@dataclass(frozen=True)
class TimeLine:
    """Values over time."""

    t_ns: Ints  # (k,)
    values: Floats  # (k,)


@dataclass(frozen=True)
class PowerTrace:
    """What the power figure shows of one cell."""

    label: str
    series: tuple[PowerSeries, ...]
    phases: Phases
    in_flight: TimeLine | None = None
    sm_clock: TimeLine | None = None  # of the first device that tells it, MHz


def joules_by_variant(results: Results, model: str, note: str) -> Drawing | None:
    """Bars of J/request: net below, idle above, its interval; a dot a block, with what its measurement leaves open."""
    points, left_out = few(points_with(results, model, "j_per_request"))
    if not points:
        return None
    variants, loads = names_in(points)

    def paint(figure: Figure) -> None:
        axes, width = figure.subplots(), 0.8 / len(loads)
        for k, load in enumerate(loads):
            for point in (one for one in points if one.load == load):
                x = variants.index(point.variant) + (k - (len(loads) - 1) / 2) * width
                _bar(axes, point, x, width, look_of_load(k))
            axes.bar([0], [0], **look_of_load(k).bar, label=load)
        axes.bar([0], [0], color="#ffffff", edgecolor="#555555", hatch="///", label="idle's part")
        axes.set_xticks(range(len(variants)), variants, rotation=90 if len(variants) > 8 else 0)
        axes.set_ylabel(said("J / request (gross)", note))
        axes.set_ylim(bottom=0)
        beside(axes, len(loads) + 1)

    words = each_in_words(points, lambda one: f"{with_interval(one, 'j_per_request')} joules")
    return drawn(
        name=f"joules-{model}",
        title=f"J/request by variant and load{note}",
        size=(min(14.0, max(7.0, 1.5 * len(variants))), 4.0),
        paint=paint,
        description=f"Bar chart of joules per request{note}, with 95 % intervals where there are any: {words}.",
        caption="Columns are gross, their hatched part is idle power x time, the rest is net. Each dot is one block, "
        f"its thin line what that measurement leaves open (sampling alone).{interval_words(points)}{left_out}",
    )


def power_over_time(traces: Sequence[PowerTrace], model: str, unit_note: str) -> Drawing | None:
    """Small multiples, a panel a load: watts over seconds, phases shaded and named."""
    shown = [trace for trace in traces if any(one.power_w.size for one in trace.series)]
    if not shown:
        return None

    def paint(figure: Figure) -> None:
        panels = figure.subplots(2 * len(shown), 1, squeeze=False, height_ratios=[2, 1] * len(shown))[:, 0]
        for trace, power, load in zip(shown, panels[::2], panels[1::2], strict=True):
            _power_panel(power, trace, unit_note)
            _load_panel(load, trace)
            load.set_xlim(power.get_xlim())
        panels[-1].set_xlabel("seconds from the start of the window")

    labels = ", ".join(trace.label for trace in shown)
    several = " A line a device." if any(len(trace.series) > 1 for trace in shown) else ""
    clock = ", and the SM clock (orange)" if any(one.sm_clock for one in shown) else ""
    return drawn(
        name=f"power-{model}",
        title=f"Power over time{unit_note}",
        size=(8.0, 2.9 * len(shown) + 0.4),
        paint=paint,
        description=f"Line charts of power over time{unit_note} with the phases idle, warm-up, window, drain "
        f"and idle marked, and below each the requests in flight{clock}, for {labels}.",
        caption="One representative cell a load. Joules are counted in the window alone; idle power comes "
        f"from the idle phase before it.{several} Below each: requests in flight{clock}.",
    )


def joules_against_latency(results: Results, model: str, note: str) -> Drawing | None:
    """J/request over the median end-to-end latency: a colour a load, a marker a variant."""
    points, left_out = few(points_with(results, model, "j_per_request", "e2e_p50_ms"))
    if not points:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        scatter(axes, points, "e2e_p50_ms", "j_per_request")
        axes.set_xlabel("median end-to-end latency, ms")
        axes.set_ylabel(said("J / request (gross)", note))
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)

    words = each_in_words(
        points,
        lambda one: (
            f"{with_interval(one, 'j_per_request')} joules at {significant(one.mean('e2e_p50_ms'))} milliseconds"
        ),
    )
    return drawn(
        name=f"latency-{model}",
        title=f"J/request against latency{note}",
        size=(width_for(sum(map(len, names_in(points)))), 4.2),
        paint=paint,
        description=f"Scatter plot of joules per request{note} over median latency: {words}.",
        caption="Lower left is better on both. Latency counts from the time a request was "
        f"scheduled.{interval_words(points)}{left_out}",
    )


def _bar(axes: Axes, point: Point, x: float, width: float, look: Look) -> None:
    gross, idle = point.mean("j_per_request") or 0.0, point.mean("j_per_request_idle") or 0.0
    axes.bar([x], [gross], width=width * 0.92, **look.bar)
    if 0 < idle <= gross:
        axes.bar(
            [x],
            [idle],
            bottom=[gross - idle],
            width=width * 0.92,
            color="#ffffff80",
            edgecolor="#555555",
            hatch="///",
            linewidth=0,
        )
    blocks = point.values["j_per_request"]
    beside = np.linspace(-0.2, 0.2, len(blocks)) * width if len(blocks) > 1 else np.zeros(1)
    for shift, value, bounds in zip(beside, blocks, point.bounds["j_per_request"], strict=True):
        axes.plot([x + shift], [value], linestyle="none", marker="o", markersize=3, color="#222222")
        whisker(axes, x + shift, bounds, "#222222", 0.7)
    whisker(axes, x - 0.36 * width, point.interval("j_per_request"), "#222222", 2.0)


def _load_panel(axes: Axes, trace: PowerTrace) -> None:
    """Requests in flight, and on an axis of its own the clock."""
    origin = _origin(trace)
    if trace.in_flight is not None:
        line = trace.in_flight
        axes.fill_between(
            (line.t_ns - origin) / 1e9, line.values, step="post", color="#0072B2", alpha=0.35, linewidth=0
        )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("in flight")
    if trace.sm_clock is not None:
        clock = axes.twinx()
        clock.plot(
            (trace.sm_clock.t_ns - origin) / 1e9, trace.sm_clock.values, color=COLOURS[1], linewidth=0.9
        )
        clock.set_ylim(bottom=0)
        clock.set_ylabel("MHz")
        clock.spines["right"].set_visible(True)


def _origin(trace: PowerTrace) -> int:
    window = trace.phases.window
    return window.start_ns if window else int(trace.series[0].t_ns[0])


def _power_panel(axes: Axes, trace: PowerTrace, note: str) -> None:
    origin = _origin(trace)
    several, names = len(trace.series) > 1, short_names([one.device for one in trace.series])
    for k, series in enumerate(trace.series):
        stride = max(1, -(-series.power_w.size // MOST_POINTS))
        whole = series.power_w.size // stride * stride
        power = series.power_w[:whole].reshape(-1, stride).mean(axis=1)
        times = (series.power_t_ns[:whole].reshape(-1, stride)[:, 0] - origin) / 1e9
        colour, line = line_of(k) if several else ("#333333", "-")
        axes.plot(times, power, linewidth=0.9, color=colour, linestyle=line, label=names[k])
    top = max(float(one.power_w.max()) for one in trace.series if one.power_w.size) or 1.0
    for name, label, colour in _PHASES:
        phase = getattr(trace.phases, name)
        if phase is None or phase.end_ns <= phase.start_ns:
            continue
        start, end = (phase.start_ns - origin) / 1e9, (phase.end_ns - origin) / 1e9
        axes.axvspan(start, end, color=colour, linewidth=0, zorder=0)
        axes.text((start + end) / 2, top * 1.12, label, ha="center", fontsize=8)
    axes.set_ylim(0, top * 1.25)
    axes.set_ylabel(said("W", note))
    axes.set_title(trace.label, loc="left", fontsize=10)
    if several:
        beside(axes, len(trace.series), rows=8)
