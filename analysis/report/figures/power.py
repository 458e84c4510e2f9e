"""Power over time, a panel a load, with the phases of its cell and the requests in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis.energy.integral import PowerSeries
from analysis.report.figures.axes import legend_above
from analysis.report.figures.captions import said, short_names
from analysis.report.figures.drawing import PHASE_COLOURS, Drawing
from analysis.report.figures.lines import MOST_POINTS, TimeLine
from analysis.report.figures.looks import GREY, INK, line_of
from traces.cell import Phases

_PHASES = (
    ("idle_before", "idle"), ("warmup", "warm-up"), ("window", "window"), ("drain", "drain"), ("idle_after", "idle"),
)  # fmt: skip
_PANEL_IN = 1.75  # of one load: power, and below it the requests in flight


@dataclass(frozen=True)
class PowerTrace:
    """The curves of one cell in the power figure."""

    label: str
    series: tuple[PowerSeries, ...]
    phases: Phases
    in_flight: TimeLine | None = None
    sm_clock: TimeLine | None = None  # of the first device that tells it, MHz


def power_over_time(traces: Sequence[PowerTrace], model: str, note: str) -> Drawing | None:
    """Draw small multiples, a panel a load: watts over seconds, phases shaded and named once above."""
    shown = [trace for trace in traces if any(series.power_w.size for series in trace.series)]
    if not shown:
        return None

    def paint(figure: Figure) -> None:
        panels = figure.subplots(2 * len(shown), 1, squeeze=False, height_ratios=[2, 1] * len(shown))[:, 0]
        for trace, power, load in zip(shown, panels[::2], panels[1::2], strict=True):
            _power_panel(power, trace, note)
            _load_panel(load, trace)
            load.set_xlim(power.get_xlim())
        panels[-1].set_xlabel("seconds from the start of the window")
        figure.align_ylabels(list(panels))
        legend_above(figure, _phases(shown), _devices(shown))

    labels = ", ".join(trace.label for trace in shown)
    several = " A line a device." if any(len(trace.series) > 1 for trace in shown) else ""
    clock = ", and the SM clock (dashed)" if any(trace.sm_clock for trace in shown) else ""
    return Drawing(
        name=f"power-{model}",
        title=f"Power over time{note}",
        description=f"Line charts of power over time{note} with the phases idle, warm-up, window, drain "
        f"and idle marked, and below each the requests in flight{clock}, for {labels}.",
        caption="One representative cell a load. Joules are counted in the window alone; idle power comes "
        f"from the idle phase before it.{several} Below each: requests in flight{clock}.",
        height=_PANEL_IN * len(shown) + 0.3,
        paint=paint,
    )


def _phases(shown: Sequence[PowerTrace]) -> list[tuple[Patch, str]]:
    """Return the phases that any of the traces has."""
    present = {label for trace in shown for name, label in _PHASES if getattr(trace.phases, name) is not None}
    return [(Patch(facecolor=colour), name) for name, colour in PHASE_COLOURS.items() if name in present]


def _devices(shown: Sequence[PowerTrace]) -> list[tuple[Line2D, str]]:
    """Name the devices of cells that have several."""
    devices = list(
        dict.fromkeys(series.device for trace in shown if len(trace.series) > 1 for series in trace.series)
    )
    looks = (line_of(k) for k in range(len(devices)))
    return [
        (Line2D([], [], color=colour, linestyle=line), name)
        for (colour, line), name in zip(looks, short_names(devices), strict=True)
    ]


def _load_panel(axes: Axes, trace: PowerTrace) -> None:
    """Requests in flight, and on an axis of its own the clock."""
    origin = _origin(trace)
    if trace.in_flight is not None:
        line = trace.in_flight
        axes.fill_between(
            (line.t_ns - origin) / 1e9, line.values, step="post", color=GREY, alpha=0.45, linewidth=0
        )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("in flight")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    if trace.sm_clock is not None:
        clock = axes.twinx()
        clock.plot(
            (trace.sm_clock.t_ns - origin) / 1e9,
            trace.sm_clock.values,
            color=INK,
            linewidth=0.8,
            linestyle="--",
        )
        clock.set_ylim(0, float(trace.sm_clock.values.max()) * 1.15)
        clock.set_ylabel("MHz")
        clock.spines["right"].set_visible(True)


def _origin(trace: PowerTrace) -> int:
    window = trace.phases.window
    return window.start_ns if window else int(trace.series[0].t_ns[0])


def _power_panel(axes: Axes, trace: PowerTrace, note: str) -> None:
    origin = _origin(trace)
    for k, series in enumerate(trace.series):
        stride = max(1, -(-series.power_w.size // MOST_POINTS))
        whole = series.power_w.size // stride * stride
        power = series.power_w[:whole].reshape(-1, stride).mean(axis=1)
        times = (series.power_t_ns[:whole].reshape(-1, stride)[:, 0] - origin) / 1e9
        colour, line = line_of(k) if len(trace.series) > 1 else (INK, "-")
        axes.plot(times, power, linewidth=0.8, color=colour, linestyle=line)
    top = max(float(series.power_w.max()) for series in trace.series if series.power_w.size) or 1.0
    for name, label in _PHASES:
        phase = getattr(trace.phases, name)
        if phase is not None and phase.end_ns > phase.start_ns:
            ends = ((edge - origin) / 1e9 for edge in (phase.start_ns, phase.end_ns))
            axes.axvspan(*ends, facecolor=PHASE_COLOURS[label], linewidth=0, zorder=0)
    axes.set_ylim(0, top * 1.1)
    axes.set_ylabel(said("W", note))
    axes.set_title(trace.label, loc="left")
    axes.tick_params(labelbottom=False)
