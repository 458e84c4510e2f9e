"""The report of simulated runs: everything in it, nothing outside it, nothing left unsaid."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
import yaml

from analysis.keys import MeterKey
from analysis.opened import OpenedRun
from analysis.report import write_report
from analysis.report.figures.captions import scene_of
from analysis.report.figures.lines import in_flight_over_time
from analysis.report.figures.looks import MOST_VARIANTS
from analysis.report.figures.tradeoffs import joules_against_accuracy, pareto
from analysis.report.words.excluded import excluded, noted
from analysis.results.headline import ESTIMATED, MEMORISED, headline
from analysis.results.points import Point, Results, read_results
from analysis.results.sentences import significant
from analysis.tables import analyze, read_table
from tests.golden.engine import Load
from tests.golden.world import LOADS, Sensor, World, write_rows
from traces.schemas import OCCUPANCY

VOID = {"meta", "link", "br", "hr", "img"}


class Page(HTMLParser):
    """Checks nesting, and keeps what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.captions: list[str] = []
        self.titles: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["caption"]:
            self.captions.append(data)
        if self.open[-2:] == ["figure", "h3"]:
            self.titles.append(data)


def test_the_page_is_well_formed_and_needs_nothing_from_outside(html: str) -> None:
    page = Page(html)
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "@import" not in html
    assert "&lt;demo&gt; &amp; co" in html
    assert "<demo>" not in html


def test_no_element_shares_its_id_and_every_reference_is_there(html: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', html)) <= set(ids)


def test_every_figure_has_a_description_for_those_who_cannot_see_it(html: str) -> None:
    page = Page(html)
    images = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(images) == 6
    assert all(len(attributes.get("aria-label") or "") > 80 for attributes in images)
    assert [title.split(" (")[0] for title in page.titles] == [
        "J/request by load and variant",
        "J/request over concurrency",
        "J per solved task against pass@1",
        "J/request against latency",
        "Joules of single requests",
        "Power over time",
    ]
    for phase in ("idle", "warm-up", "window", "drain", "in flight"):
        assert f">{phase}</text>" in html


def test_what_nothing_beats_on_both_is_the_front() -> None:
    figures = {"dear": (9.0, 0.9), "cheap": (1.0, 0.2), "beaten": (9.5, 0.5), "middle": (4.0, 0.6)}
    points = [
        Point("m", name, "l", 1, {"j_per_solved_task": (joules,), "pass_at_1_plus": (share,)}, {})
        for name, (joules, share) in figures.items()
    ]
    assert [point.variant for point in pareto(points)] == ["cheap", "middle", "dear"]


def test_a_variant_that_a_figure_has_no_room_for_is_not_called_unsolved() -> None:
    values = {"j_per_solved_task": (2.0,), "pass_at_1_plus": (0.5,)}
    points = [Point("m", f"v{k}", "l", 1, values, {}) for k in range(MOST_VARIANTS + 2)]
    points.append(Point("m", "zero", "l", 1, {"pass_at_1_plus": (0.0,)}, {}))
    results = Results(MeterKey("gpu", "nvml"), (), tuple(points), (), ())
    drawing = joules_against_accuracy(scene_of(results, "", lambda _: None), "m")
    assert drawing is not None
    assert "Nothing was solved by zero under l." in drawing.caption
    assert f"The first {MOST_VARIANTS} of {MOST_VARIANTS + 2} variants" in drawing.caption


def test_requests_in_flight_are_counted_from_the_trace(estimated: World) -> None:
    (key,) = (
        cell
        for cell in estimated.cell_keys()
        if (cell.variant, cell.load, cell.block) == ("bf16", "closed-8", 1)
    )
    line = in_flight_over_time(estimated.run, key)
    assert line is not None
    assert line.values.max() == 8
    assert line.values[-1] == 0


def test_every_caption_and_title_with_joules_says_that_they_are_estimated(html: str) -> None:
    page = Page(html)
    with_joules = [text for text in page.captions if "J/" in text or "joules" in text or "Gross" in text]
    assert len(with_joules) >= 7
    about_us = [text for text in with_joules + page.titles if "arXiv" not in text]
    for text in about_us:
        assert ESTIMATED in text


def test_pass_at_1_of_a_memorised_model_is_never_shown_without_saying_so(html: str) -> None:
    assert html.count(MEMORISED) >= 3
    assert '<th scope="col"><span>pass@1 base (memorised)</span></th>' in html
    answers = re.findall(r"<li>([^<]*pass@1[^<]*)</li>", html)
    assert len(answers) == 2 + 6
    assert all("of memorised tasks" in answer for answer in answers)


def test_what_was_not_measured_has_no_gain_and_no_figure_of_one(html: str) -> None:
    (said,) = re.findall(r"<dt><strong>Sensor</strong></dt>(.*)", html)
    assert said == "<dd>cpu, by modelled: no sensor measured this, so there is no gain to be known.</dd>"


def test_missing_intervals_are_explained(html: str) -> None:
    assert "no interval: one_engine_start, too_few_blocks" in html
    assert "Each variant had a single engine start" in html


def test_measured_power_carries_no_warning_and_intervals_are_shown(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb"), memorised=False).build()
    text = write_report(world.run).read_text(encoding="utf-8")
    assert ESTIMATED not in text
    assert "memorised" not in text.replace("starcoder2-memorised", "")
    assert "95 %: " in text
    assert "gpu, by nvml: what is not known of its gain (true over shown joules) is ±" in text
    assert "an offset of up to 23 W among it" in text
    assert "None of this is in the intervals." in text
    assert "of which the offset leaves" in text


def test_figures_and_the_table_have_the_interval_of_the_mean_over_blocks(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb")).build()
    text = write_report(world.run).read_text(encoding="utf-8")
    values = [
        row["value"]
        for row in read_table(world.run, "cells").to_pylist()
        if (row["variant"], row["load"], row["metric"]) == ("int8-bnb", "closed-8", "j_per_request")
    ]
    logs = np.log(values)
    lo, hi = np.exp(scipy.stats.t.interval(0.95, 2, logs.mean(), scipy.stats.sem(logs)))
    words = f"{significant(float(np.mean(values)))} ({significant(lo)} to {significant(hi)})"
    assert f">{words}</td>" in re.sub("</?span[^>]*>", "", text)
    told = [
        label
        for label in re.findall(r'aria-label="([^"]*)"', text)
        if f"int8-bnb under closed-8 {words}" in label
    ]
    assert len(told) == 2  # the columns, and against latency
    assert f"int8-bnb at 8 {words} joules" in text
    assert text.count("Bars are 95 % intervals of the mean over blocks") == 4


def test_one_engine_start_gives_no_interval_over_blocks(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb"), engine_restarts="once").build()
    text = write_report(world.run).read_text(encoding="utf-8")
    assert "Bars are 95 %" not in text
    assert text.count("The figure has no intervals over blocks (one engine start each); ratios") == 4
    assert all(point.interval("j_per_request") is None for point in read_results(OpenedRun(world.run)).points)


def test_the_clock_is_drawn_where_a_board_tells_it(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), blocks=1).build()
    for key in world.cell_keys():
        path = world.run.cell(key) / "power.parquet"
        power = pq.read_table(path)
        place = power.column_names.index("sm_clock_mhz")
        clocks = pa.array([1410.0] * power.num_rows)
        pq.write_table(power.set_column(place, "sm_clock_mhz", clocks).cast(power.schema), path)
    text = write_report(world.run).read_text(encoding="utf-8")
    assert text.count(">MHz</text>") == 3
    assert "requests in flight, and the SM clock (dashed), for bf16" in text


def test_the_report_says_how_sure_it_is_and_which_rule_to_take_and_leaves_the_paper_to_compare(
    tmp_path: Path,
) -> None:
    loads = (Load("single-stream"), Load("closed-4", concurrency=4), Load("closed-16", concurrency=16))
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb"), loads=loads).build()
    text = write_report(world.run).read_text(encoding="utf-8")
    page = Page(text)
    for words in (
        "J/request, paired within blocks",
        "at equal delivered rate, or each at what it can do, at natural length",
        "J/request = own + shared / concurrency",
        "pass@1, base and plus, task by task",
        "from a window's start to its end",
        "the rule phase, fitted across all loads",
    ):
        assert any(words in caption for caption in page.captions), words
    assert "2411.12758" not in text
    assert re.search(
        r"<p>Batching saves [\d.]+ to [\d.]+ % of the joules per request: .*of 16 in flight", text
    )
    assert "95 %, all together" in text
    assert "costs 46 % more J/request than bf16" in text
    assert "within 2 %" in text


def test_what_is_only_to_be_known_is_not_among_what_was_left_out(tmp_path: Path) -> None:
    sensor = Sensor(source="rapl", boundary="cpu", device="package-0")  # nothing is known of its gain
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:2], blocks=2, sensor=sensor).build()
    hidden, torn = world.cell_keys()[:2]
    looks = [
        {"t_ns": world.truth[hidden].start_ns, "device": "GPU", "state": "unknown", "pids": [], "foreign": []}
    ]
    write_rows(world.run.cell(hidden), "occupancy", OCCUPANCY, looks)
    text = write_report(world.run).read_text(encoding="utf-8")
    results = read_results(OpenedRun(world.run))
    assert excluded(results) == ()
    assert [(reason.code, reason.cells, reason.figure) for reason in noted(results)] == [
        ("exclusivity_unknown", f"1 of 4: {hidden.model} · bf16 · single-stream · b1", "1.00 share of looks"),
        ("gain_unknown", "all 4", ""),
    ]
    assert "Nothing: all 4 cells are valid." in text
    assert "What to know of what was not left out" in text
    assert "cpu, by rapl: how far its joules are from true ones is not known." in text

    (world.run.cell(torn) / "requests.parquet").write_bytes(b"torn")
    analyze(world.run)
    text = write_report(world.run).read_text(encoding="utf-8")
    Page(text)
    results = read_results(OpenedRun(world.run))
    assert {reason.code for reason in excluded(results)} == {"trace_damaged"}
    assert [reason.code for reason in noted(results)] == ["exclusivity_unknown", "gain_unknown"]
    assert "cells are valid" not in text


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("natural", "at natural length: a variant that rambles pays for it"),
        ({"fixed": 48}, "at equal length: every answer has 48 tokens"),
        (
            {"recorded": "lengths.csv"},
            "at equal length: an answer has as many tokens as were recorded for its task",
        ),
    ],
)
def test_the_report_says_how_answers_ended(tmp_path: Path, output: Any, words: str) -> None:
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb"), loads=LOADS[:1], blocks=1).build()
    study = yaml.safe_load(world.run.study.read_text(encoding="utf-8"))
    study["prompts"]["output"] = output
    world.run.study.write_text(yaml.safe_dump(study), encoding="utf-8")
    (caption,) = (
        shown
        for shown in Page(write_report(world.run).read_text(encoding="utf-8")).captions
        if "length" in shown
    )
    assert words in caption


def test_the_same_run_gives_the_same_page(estimated: World, html: str) -> None:
    estimated.run.report.unlink()
    assert write_report(estimated.run).read_text(encoding="utf-8") == html


def test_a_run_without_power_and_with_a_torn_cell_still_has_a_report(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), blocks=1).build()
    for key in world.cell_keys():
        (world.run.cell(key) / "power.parquet").unlink()
    torn = world.run.cell(world.cell_keys()[0]) / "requests.parquet"
    torn.write_bytes(torn.read_bytes()[:50])
    (world.run.cell(world.cell_keys()[1]) / "cell.json").write_text("{", encoding="utf-8")
    world.run.manifest.unlink()
    text = write_report(world.run).read_text(encoding="utf-8")
    Page(text)
    for reason in ("no_power", "trace_damaged"):
        assert f"<code>{reason}</code>" in text
    assert "no manifest" in text


def test_a_run_of_one_cell_has_a_report(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), blocks=1)
    world.loads = world.loads[2:]
    world.build().run.study.unlink()
    text = write_report(world.run).read_text(encoding="utf-8")
    assert Page(text).titles
    assert re.search(r"[\d.]+ J/request by bf16 under \S+, over 1 block; this run has a single", text)


def test_the_headline_has_a_factor_per_batched_load_and_a_line_per_variant(
    estimated: World, html: str
) -> None:
    analyze(estimated.run)
    lines = headline(estimated.run)
    factors = [line for line in lines if line.kind == "batched_vs_single"]
    assert {(line.variant, line.load) for line in factors} == {
        (variant, load) for variant in estimated.variants for load in ("closed-8", "open-4-poisson")
    }
    assert all(line.value is not None and line.value > 1 and line.estimated for line in factors)
    variants = [line for line in lines if line.kind == "variant_vs_baseline"]
    assert len(variants) == 2 * 3
    assert all("pass@1" in line.text for line in variants)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.00"),
        (21.0, "21.0"),
        (123.4, "123"),
        (1280.0, "1\u00a0280"),
        (0.01234, "0.0123"),
        (2e-6, "2.00e-06"),
    ],
)
def test_figures_keep_three_significant_digits(value: float | None, text: str) -> None:
    assert significant(value) == text
