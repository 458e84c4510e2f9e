"""Captions say what is drawn, and tables whether what stands side by side is of the same blocks."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.compare.runs import Comparison, Difference
from analysis.contrasts.statistics import RatioEstimate
from analysis.keys import MeterKey
from analysis.report.comparison import drawing_of
from analysis.report.figures.captions import interval_words, scene_of
from analysis.report.figures.tradeoffs import joules_against_accuracy
from analysis.report.pages.templates import figure
from analysis.report.tables.heat import heat_table
from analysis.report.tables.sections import pair_table
from analysis.results.points import Contrast, Point, Results

GPU = MeterKey("gpu", "nvml")


def point(variant: str, load: str = "closed-8", **values: float) -> Point:
    """Three blocks of one variant."""
    return Point("m", variant, load, 3, {name: (value,) * 3 for name, value in values.items()}, {})


def results(points: list[Point], *contrasts: Contrast, rows: tuple[Any, ...] = ()) -> Results:
    return Results(GPU, (GPU,), tuple(points), contrasts, rows)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.5, 0.9), "the line joins what nothing else beats on both."),
        ((0.9, 0.5), "bf16 under closed-8 beats all"),
    ],
)
def test_a_caption_speaks_of_a_line_only_where_one_is_drawn(shares: tuple[float, float], words: str) -> None:
    points = [
        point(name, j_per_solved_task=joules, pass_at_1_plus=share)
        for name, joules, share in zip(("bf16", "dear"), (1.0, 2.0), shares, strict=True)
    ]
    drawing = joules_against_accuracy(scene_of(results(points), "", lambda _: None), "m")
    assert drawing is not None
    assert words in drawing.caption


def test_a_figure_of_one_engine_start_speaks_of_itself_alone_and_names_where_ratios_have_intervals() -> None:
    once = Point("m", "bf16", "closed-8", 3, {"j_per_request": (1.0, 1.1, 1.2)}, {}, one_engine_start=True)
    assert "The figure has no intervals over blocks (one engine start each); ratios" in interval_words([once])


@pytest.mark.parametrize(("blocks", "said"), [(2, "(2 of 3 blocks)"), (3, "")])
def test_a_ratio_of_fewer_blocks_than_the_means_beside_it_says_of_how_many_it_is(
    blocks: int, said: str
) -> None:
    ratio = {"value": 2.69, "lo": None, "hi": None, "blocks": blocks, "reasons": ()}
    contrast = Contrast(
        "m", "variant_vs_baseline", "int8", "bf16", "closed-8", "closed-8", {"j_per_request_ratio": ratio}
    )
    table = heat_table(
        results([point("bf16", j_per_request=1.66), point("int8", j_per_request=3.8)], contrast), "m"
    )
    (cell,) = dict(table.rows)["int8"]
    assert cell is not None
    assert (cell.ratio, cell.ratio_between) == ("2.69", said)


@pytest.mark.parametrize(
    ("estimates", "words"),
    [
        ([RatioEstimate(1.2, 1.1, 1.3, 5, ())], "Bars are 95 % intervals, one by one."),
        ([RatioEstimate(1.2, None, None, 1, ("too_few_blocks",))], "There is no interval below three blocks"),
    ],
)
def test_a_comparison_speaks_of_bars_only_where_there_are_any(
    estimates: list[RatioEstimate], words: str
) -> None:
    differences = tuple(
        Difference("after", "m", "bf16", "closed-8", "j_per_request", 1.0, estimate.ratio, estimate)
        for estimate in estimates
    )
    both = results([point("bf16", j_per_request=1.0)])
    drawing = drawing_of(Comparison(("before", "after"), GPU, False, differences, (), (both, both)), "")
    assert drawing is not None
    assert words in drawing.caption


def test_meters_stand_side_by_side_in_the_order_of_the_other_tables() -> None:
    order = ["single-stream", "closed-8", "closed-64"]
    rows = tuple(
        {
            "model": "m", "variant": "bf16", "load": load, "block": 1, "boundary": "gpu", "source": "nvml",
            "metric": "j_per_request", "value": 1.0, "valid": True, "reasons": (),
        }
        for load in sorted(order)
    )  # fmt: skip
    table = pair_table(results([point("bf16", load, j_per_request=1.0) for load in order], rows=rows))
    assert [row[2] for row in table.rows] == order


def test_an_interval_stands_below_its_figure_also_where_thousands_are_apart() -> None:
    assert '<span class="between">(0.00804 to 2\N{NO-BREAK SPACE}100)</span>' in str(
        figure("4.11 (0.00804 to 2\N{NO-BREAK SPACE}100)")
    )
