"""In a figure no two loads, variants or devices look alike, up to as many as it shows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from analysis.energy.integral import PowerSeries
from analysis.keys import MeterKey
from analysis.report.figures.drawing import Drawing, few, short_names
from analysis.report.figures.joules import (
    PowerTrace,
    joules_against_latency,
    joules_by_variant,
    power_over_time,
)
from analysis.report.figures.looks import (
    MARKERS,
    MOST_DEVICES,
    MOST_LOADS,
    MOST_VARIANTS,
    line_of,
    look_of_load,
    marker_of,
)
from analysis.report.figures.tradeoffs import joules_against_accuracy, joules_over_concurrency
from analysis.results.points import Point, Results
from configs.loader import load_study
from traces.cell import Phase, Phases

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def legend_of(drawing: Drawing | None) -> list[tuple[str, str]]:
    """What the legend's samples look like: the marker's outline, if it is one, and its style."""
    assert drawing is not None
    root = ElementTree.fromstring(drawing.svg)  # noqa: S314 -- our own figure
    outlines = {f"#{one.get('id')}": one.get("d") or "" for one in root.iter(f"{SVG}path") if one.get("id")}
    found = []
    for legend in (one for one in root.iter(f"{SVG}g") if "-legend_" in (one.get("id") or "")):
        for one in legend.iter():
            if one.tag == f"{SVG}use" and one.get(LINK) in outlines:
                found.append((outlines[one.get(LINK) or ""], one.get("style") or ""))
            elif one.tag == f"{SVG}path" and not one.get("id"):
                found.append(("", one.get("style") or ""))
    return found


def results_of(variants: list[str], loads: list[str]) -> Results:
    """A point for each of both."""
    points = []
    for k, (variant, load) in enumerate(product(variants, loads)):
        values: Mapping[str, tuple[float, ...]] = {
            "j_per_request": (2.0 + k,),
            "j_per_solved_task": (3.0 + k,),
            "pass_at_1_plus": (0.5,),
            "e2e_p50_ms": (100.0 + k,),
        }
        points.append(Point("m", variant, load, 1, values, {}, {"j_per_request": (None,)}))
    return Results(MeterKey("gpu", "nvml"), (), tuple(points), (), ())


def test_as_many_variants_loads_and_devices_as_are_drawn_differ() -> None:
    assert len({marker_of(k)[1] for k in range(MOST_VARIANTS)}) == MOST_VARIANTS == len(MARKERS) == 24
    assert len({look_of_load(k) for k in range(MOST_LOADS)}) == MOST_LOADS == 16
    assert len({line_of(k) for k in range(MOST_DEVICES)}) == MOST_DEVICES == 32


def test_in_the_shipped_study_with_most_loads_no_two_look_alike() -> None:
    study = load_study(Path("configs/studies/batching.yaml"))
    loads, variants = [load.slug for load in study.loads], list(study.variants)
    assert len(loads) == 9
    results = results_of(variants, loads)
    bars = legend_of(joules_by_variant(results, "m", ""))
    assert len(bars) == len(set(bars)) == len(loads) + 1  # and the idle part
    marks = legend_of(joules_against_latency(results, "m", ""))
    assert len(marks) == len(set(marks)) == len(loads) + len(variants)


@pytest.mark.parametrize("draw", [joules_against_latency, joules_against_accuracy])
def test_in_the_fullest_figure_no_two_look_alike_and_its_caption_says_what_it_has_no_room_for(
    draw: Any,
) -> None:
    results = results_of(*([f"{name}{k}" for k in range(30)] for name in "vl"))
    drawing = draw(results, "m", "")
    marks = legend_of(drawing)
    assert len(marks) == len(set(marks)) == MOST_VARIANTS + MOST_LOADS
    assert f"The first {MOST_VARIANTS} of 30 variants" in drawing.caption
    assert f"The first {MOST_LOADS} of 30 loads" in drawing.caption


def test_lines_over_concurrency_differ_and_keep_every_load() -> None:
    results = results_of([f"v{k}" for k in range(24)], [f"closed-{2**k}" for k in range(18)])
    drawing = joules_over_concurrency(results, "m", "", lambda load: int(load.removeprefix("closed-")))
    assert drawing is not None
    outlines = [outline for outline, _ in legend_of(drawing) if outline]
    assert len(outlines) == len(set(outlines)) == 24
    assert "loads; the tables have all" not in drawing.caption
    assert few(list(results.points))[1] == " The first 16 of 18 loads; the tables have all."


def series(device: str) -> PowerSeries:
    """Ten readings of one board."""
    t_ns = np.arange(10, dtype=np.int64) * 1_000_000_000
    return PowerSeries(
        device, "gpu", "nvml", t_ns, t_ns, np.full(10, 100.0), t_ns, np.linspace(0.0, 900.0, 10)
    )


@pytest.mark.parametrize("boards", [1, 2, 16])
def test_power_of_several_boards_is_told_apart_and_named(boards: int) -> None:
    devices = [f"GPU-{k:08x}-0000-0000-0000-000000000000" for k in range(boards)]
    window = Phase(start_ns=2_000_000_000, end_ns=8_000_000_000)
    trace = PowerTrace("v, l, block 1", tuple(map(series, devices)), Phases(window=window))
    drawing = power_over_time([trace], "m", "")
    assert drawing is not None
    lines = legend_of(drawing)
    assert len(lines) == len(set(lines)) == (boards if boards > 1 else 0)
    assert ("A line a device." in drawing.caption) == (boards > 1)
    assert [f">{one[:12]}…</text>" in drawing.svg for one in devices] == [boards > 1] * boards


def test_names_are_cut_where_they_can_still_be_told_apart() -> None:
    assert short_names(["package-0", "package-1"]) == ["package-0", "package-1"]
    assert short_names(["GPU-12345678-9", "GPU-12345678-8"]) == ["GPU-12345678-9", "GPU-12345678-8"]
    assert short_names(["GPU-12345678-abc", "package-0"]) == ["GPU-12345678…", "package-0"]
    assert short_names([]) == []
