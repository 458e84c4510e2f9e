"""In a figure no two loads, variants or devices look alike, up to as many as it shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise, product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from analysis.energy.integral import PowerSeries
from analysis.keys import MeterKey
from analysis.report.figures.axes import spread_apart, width_pt
from analysis.report.figures.captions import Scene, few, scene_of, short_names
from analysis.report.figures.concurrency import joules_over_concurrency
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.joules import joules_by_variant
from analysis.report.figures.looks import (
    COLOURS,
    MOST_DEVICES,
    MOST_LOADS,
    MOST_VARIANTS,
    SHAPES,
    line_of,
    look_of,
)
from analysis.report.figures.power import PowerTrace, power_over_time
from analysis.report.figures.tradeoffs import joules_against_accuracy, joules_against_latency
from analysis.results.points import Point, Results
from configs.loader import load_study
from traces.cell import Phase, Phases

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def legend_of(drawing: Drawing | None) -> list[tuple[str, str]]:
    """What the legend's samples look like: the marker's outline, if it is one, and its style; blank ones apart."""
    assert drawing is not None
    root = ElementTree.fromstring(drawing.svg)  # noqa: S314 -- our own figure
    outlines = {
        f"#{path.get('id')}": path.get("d") or "" for path in root.iter(f"{SVG}path") if path.get("id")
    }
    samples = []
    for legend in (group for group in root.iter(f"{SVG}g") if "-legend_" in (group.get("id") or "")):
        for element in legend.iter():
            if element.tag == f"{SVG}use" and element.get(LINK) in outlines:
                samples.append((outlines[element.get(LINK) or ""], element.get("style") or ""))
            elif element.tag == f"{SVG}path" and not element.get("id"):
                hatched = element.get("style") or ""
                samples.append(("", re.sub(r"url\(#[^)]*\)", "hatched", hatched)))
    return samples


def scene(variants: list[str], loads: list[str]) -> Scene:
    """A point for each of both; a load's number is what it keeps in flight."""
    points = []
    for k, (variant, load) in enumerate(product(variants, loads)):
        values: Mapping[str, tuple[float, ...]] = {
            "j_per_request": (2.0 + k,),
            "j_per_solved_task": (3.0 + k,),
            "pass_at_1_plus": (0.5,),
            "e2e_p50_ms": (100.0 + k,),
        }
        points.append(Point("m", variant, load, 1, values, {}, {"j_per_request": (None,)}))
    results = Results(MeterKey("gpu", "nvml"), (), tuple(points), (), ())
    return scene_of(results, "", lambda load: int(load.rpartition("-")[2]) if "-" in load else None)


def colour_of(drawing: Drawing | None, variant: str) -> str:
    """The colour of the sample before a variant's name in a legend, or of the line to its name."""
    assert drawing is not None
    before = drawing.svg_at("page").partition(f">{variant}</text>")[0].lower()
    return max(COLOURS, key=before.rfind)


def test_as_many_variants_loads_and_devices_as_are_drawn_differ() -> None:
    assert len({look_of(k) for k in range(MOST_VARIANTS)}) == MOST_VARIANTS == 24
    assert len(set(SHAPES)) == MOST_LOADS == 16
    assert len({line_of(k) for k in range(MOST_DEVICES)}) == MOST_DEVICES == 32


def test_a_variant_has_one_colour_in_all_figures() -> None:
    drawn = scene(["a", "b", "c"], ["closed-1", "closed-8", "open"])
    figures = [
        joules_by_variant(drawn, "m"),
        joules_over_concurrency(drawn, "m"),
        joules_against_latency(drawn, "m"),
        joules_against_accuracy(drawn, "m"),
    ]
    for name, colour in zip("abc", COLOURS, strict=False):
        for figure in figures:
            assert colour_of(figure, name) == colour, (name, figure and figure.name)


def test_in_the_shipped_study_with_most_loads_no_two_look_alike() -> None:
    study = load_study(Path("configs/studies/batching.yaml"))
    loads, variants = [load.slug for load in study.loads], list(study.variants)
    assert len(loads) == 9
    drawn = scene(variants, loads)
    bars = legend_of(joules_by_variant(drawn, "m"))
    assert len(bars) == len(set(bars)) == len(variants) + 1  # and the idle part
    marks = legend_of(joules_against_latency(drawn, "m"))
    assert len(marks) == len(set(marks)) == len(loads) + len(variants)


@pytest.mark.parametrize("draw", [joules_against_latency, joules_against_accuracy])
def test_in_the_fullest_figure_no_two_look_alike_and_its_caption_says_what_it_has_no_room_for(
    draw: Any,
) -> None:
    drawing = draw(scene(*([f"{name}{k}" for k in range(30)] for name in "vl")), "m")
    marks = legend_of(drawing)
    assert len(marks) == len(set(marks)) == MOST_VARIANTS + MOST_LOADS
    assert f"The first {MOST_VARIANTS} of 30 variants" in drawing.caption
    assert f"The first {MOST_LOADS} of 30 loads" in drawing.caption


def test_lines_over_concurrency_differ_and_keep_every_load() -> None:
    drawn = scene([f"v{k}" for k in range(24)], [f"closed-{2**k}" for k in range(18)])
    drawing = joules_over_concurrency(drawn, "m")
    assert drawing is not None
    samples = legend_of(drawing)  # a line and a mark each
    assert len(set(zip(samples[::2], samples[1::2], strict=True))) == 24
    assert "loads; the tables have all" not in drawing.caption
    assert few(list(drawn.results.points))[1] == " The first 16 of 18 loads; the tables have all."


def test_few_lines_are_named_at_their_ends_and_numbers_on_their_axes_are_written_out() -> None:
    drawing = joules_over_concurrency(scene(["bf16", "fp8"], ["closed-1", "closed-8", "closed-64"]), "m")
    assert drawing is not None
    assert legend_of(drawing) == []
    assert ">bf16</text>" in drawing.svg
    assert "mathtext" not in drawing.svg
    assert "\N{MULTIPLICATION SIGN}" not in drawing.svg


@pytest.mark.parametrize("places", [[], [3.0], [5.0, 5.0, 5.0], [0.0, 1.0, 99.0], [99.0, 99.5, 1.0]])
def test_labels_stand_apart_within_their_axis_and_near_their_places(places: list[float]) -> None:
    spread = spread_apart(places, 10.0, 0.0, 100.0)
    if not places:
        assert spread is None
        return
    assert spread is not None
    order = sorted(spread)
    assert all(after - before >= 10.0 - 1e-9 for before, after in pairwise(order))
    assert 0.0 <= order[0] <= order[-1] <= 100.0
    assert sorted(range(len(places)), key=lambda k: (places[k], spread[k])) == sorted(
        range(len(places)), key=lambda k: spread[k]
    )


def test_where_labels_have_no_room_there_are_none() -> None:
    assert spread_apart([1.0] * 20, 10.0, 0.0, 100.0) is None
    assert width_pt("iiii", 8) < width_pt("MMMM", 8)


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
    assert len(lines) == len(set(lines)) == 1 + (boards if boards > 1 else 0)  # the window's shade
    assert ("A line a device." in drawing.caption) == (boards > 1)
    assert [f">{device[:12]}…</text>" in drawing.svg for device in devices] == [boards > 1] * boards


def test_names_are_cut_where_they_can_still_be_told_apart() -> None:
    assert short_names(["package-0", "package-1"]) == ["package-0", "package-1"]
    assert short_names(["GPU-12345678-9", "GPU-12345678-8"]) == ["GPU-12345678-9", "GPU-12345678-8"]
    assert short_names(["GPU-12345678-abc", "package-0"]) == ["GPU-12345678…", "package-0"]
    assert short_names([]) == []
