"""Every figure of a run by its name: for the page, for papers, and for those who take one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from analysis.energy.integral import read_series
from analysis.energy.mirrors import without_mirrors
from analysis.keys import MeterKey
from analysis.opened import OpenedRun
from analysis.report.figures.boards import joules_over_limits
from analysis.report.figures.captions import Scene, scene_of
from analysis.report.figures.concurrency import joules_over_concurrency
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.joules import joules_by_variant
from analysis.report.figures.lines import in_flight_over_time, sm_clock_over_time
from analysis.report.figures.power import PowerTrace, power_over_time
from analysis.report.figures.requests import joules_of_requests
from analysis.report.figures.tradeoffs import joules_against_accuracy, joules_against_latency
from analysis.results.headline import note_of
from analysis.results.points import Results, read_results
from analysis.validity.clocks import on_our_clock
from starwatt_errors import TraceError, UsageError
from traces.layout import CellKey
from traces.streams import read_trace

_Draw = Callable[[OpenedRun, Scene, str], Drawing | None]

FIGURES: Mapping[str, _Draw] = MappingProxyType(
    {
        "joules": lambda _, scene, model: joules_by_variant(scene, model),
        "concurrency": lambda _, scene, model: joules_over_concurrency(scene, model),
        "limits": lambda _, scene, model: joules_over_limits(scene, model),
        "solved": lambda _, scene, model: joules_against_accuracy(scene, model),
        "latency": lambda _, scene, model: joules_against_latency(scene, model),
        "requests": lambda _, scene, model: joules_of_requests(scene, model),
        "power": lambda run, scene, model: power_over_time(
            _power_traces(run, scene.results, model), model, scene.note
        ),
    }
)
"""By name, in the page's order; each draws one model of a run, or nothing where there is nothing to draw."""


def drawings_of(
    run: OpenedRun, results: Results | None = None, names: Sequence[str] = tuple(FIGURES)
) -> list[Drawing]:
    """List the figures of an analysed run that have something to show, model by model."""
    return [drawing for drawings in drawings_by_model(run, results, names).values() for drawing in drawings]


def drawings_by_model(
    run: OpenedRun, results: Results | None = None, names: Sequence[str] = tuple(FIGURES)
) -> dict[str, list[Drawing]]:
    """Give the same by model."""
    scene = _scene(run, results)
    return {
        model: [drawing for name in names if (drawing := FIGURES[name](run, scene, model)) is not None]
        for model in scene.results.models
    }


def drawing_of(run: OpenedRun, name: str, model: str | None = None) -> Drawing:
    """Draw one figure of an analysed run by its name, such as ``joules``.

    Raises:
        UsageError: there is no figure of that name, no such model, several where none is named, or nothing in the run
            that it could show.
    """
    if name not in FIGURES:
        raise UsageError(f"no figure is called {name}: take one of {', '.join(FIGURES)}")
    scene = _scene(run, None)
    models = scene.results.models
    if len(models) > 1 and model is None:
        raise UsageError(f"{run.dir.root} has several models: name one of {', '.join(models)}")
    if model is not None and model not in models:
        raise UsageError(f"{run.dir.root} has no model {model}: it has {', '.join(models)}")
    drawing = FIGURES[name](run, scene, model or models[0]) if models else None
    if drawing is None:
        raise UsageError(f"{run.dir.root} holds nothing that the figure {name} could show")
    return drawing


def _scene(run: OpenedRun, results: Results | None) -> Scene:
    known = results or read_results(run)
    return scene_of(known, note_of(known), run.context.concurrency)


def _power_traces(run: OpenedRun, results: Results, model: str) -> list[PowerTrace]:
    """One cell a load: of the baseline where contrasts name one, the first block that reads."""
    baselines = [
        contrast.reference_variant for contrast in results.contrasts if contrast.kind == "variant_vs_baseline"
    ]
    order = list(dict.fromkeys(point.load for point in results.points))
    known = [key for key in run.records if key.model == model and key not in results.damaged]
    candidates = sorted(
        known,
        key=lambda key: (bool(baselines) and key.variant != baselines[0], key.variant, key.load, key.block),
    )
    chosen: dict[str, PowerTrace] = {}
    for key in candidates:
        if key.load not in chosen and (trace := _power_trace(run, results, key)) is not None:
            chosen[key.load] = trace
    return [
        chosen[load]
        for load in sorted(chosen, key=lambda load: order.index(load) if load in order else len(order))
    ]


def _power_trace(run: OpenedRun, results: Results, key: CellKey) -> PowerTrace | None:
    """Read the power of one cell by the meter that is shown; None where its trace cannot be read, or lacks it."""
    record = run.records[key]
    try:
        power = on_our_clock(read_trace(run.dir.cell(key), "power"), record.power_clock)
    except TraceError:  # the validity table names it
        return None
    series = without_mirrors(read_series(power))
    shown = tuple(line for line in series if MeterKey(line.boundary, line.source) == results.pair)
    if not shown:
        return None
    return PowerTrace(
        f"{key.variant}, {key.load}, block {key.block}",
        shown,
        record.phases,
        in_flight_over_time(run.dir, key),
        sm_clock_over_time(power),
    )
