"""What a power limit saves: the golden world's known curve over four limits, in words too, and what did not hold."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.keys import Condition, MeterKey
from analysis.opened import OpenedRun, open_run
from analysis.report import write_report
from analysis.report.figures.catalogue import drawing_of
from analysis.results.answers import answers_in, answers_of
from analysis.results.boards import BOARDS, board_sentences
from analysis.results.points import Results, read_results
from configs.board import BoardSetting
from configs.restarts import EngineRestarts, Resident
from tests.golden.engine import Load
from tests.golden.world import MODEL_NAME, World
from traces.cell import read_cell, write_cell
from traces.layout import CellKey, board_of

LIMITS = (None, 95.0, 85.0, 65.0)
SETTINGS = (*(BoardSetting(power_limit_w=limit) for limit in LIMITS), BoardSetting(sm_clock_mhz=990))
LOADS = (Load("single-stream"), Load("closed-8", concurrency=8))
GPU = MeterKey("gpu", "nvml")
SLO = {"e2e": 1500.0}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two variants under two loads, at four limits and a clock, in three blocks."""
    root = tmp_path_factory.mktemp("boards") / "run"
    return World(
        root, variants=("bf16", "pruned-last-1"), loads=LOADS, boards=SETTINGS, slo={"e2e_ms": 1500}
    ).build()


@pytest.fixture(scope="module")
def opened(world: World) -> OpenedRun:
    return open_run(world.run)


@pytest.fixture(scope="module")
def results(opened: OpenedRun) -> Results:
    return read_results(opened)


def side(load: str, variant: str = "bf16") -> Condition:
    return Condition(MODEL_NAME, variant, load)


def true_j(world: World, condition: Condition) -> dict[int, float]:
    """J/request of each block as the world used it."""
    return {block: world.truth[condition.cell(block)].j_per_request for block in (1, 2, 3)}


def test_joules_over_four_limits_are_the_known_curve_within_their_intervals(
    world: World, opened: OpenedRun, results: Results
) -> None:
    looked = 0
    for row in opened.cells:
        if row["metric"] != "j_per_request" or MeterKey.of(row) != GPU or row["variant"] != "bf16":
            continue
        true = true_j(world, Condition.of(row))[row["block"]]
        assert row["valid"]
        assert row["lo"] <= true <= row["hi"], row
        looked += 1
    assert looked == 2 * 5 * 3
    contrasts = [found for found in results.of(MODEL_NAME, "board_vs_reference") if found.variant == "bf16"]
    for contrast in contrasts:
        above, below = (true_j(world, side_of) for side_of in (contrast.side, contrast.reference))
        logs = [math.log(above[block] / below[block]) for block in (1, 2, 3)]
        ratio = contrast.metrics["j_per_request_ratio"]
        assert ratio["lo"] - 2e-3 <= math.exp(sum(logs) / 3) <= ratio["hi"] + 2e-3
        assert ratio["hi"] < 1  # each of these limits saves, and that is seen
    assert len(contrasts) == 2 * 4


@pytest.mark.parametrize("restarts", ["once", Resident(resident="auto", every=3)])
def test_settings_of_boards_are_compared_by_block_however_engines_start(
    tmp_path: Path, restarts: EngineRestarts
) -> None:
    few = World(
        tmp_path / "run", variants=("bf16",), loads=LOADS[:1], boards=SETTINGS[:2], engine_restarts=restarts
    ).build()
    rows = [row for row in open_run(few.run).rows("contrasts") if row["contrast"] == "board_vs_reference"]
    [found] = [row for row in rows if row["metric"] == "j_per_request_ratio"]
    assert (found["interval_kind"], found["reasons"]) == ("blocks", [])
    assert "j_per_request_ratio_p" in {row["metric"] for row in rows}


def test_slower_steps_are_in_latency_and_the_same_requests_are_asked_at_every_limit(results: Results) -> None:
    for load in ("single-stream", "closed-8"):
        points = [results.point(side(f"{load}@{slug}")) for slug in ("as-found", "95w", "85w", "65w")]
        latencies = [point.mean("e2e_p50_ms") or 0.0 for point in points if point]
        assert latencies == sorted(latencies)
        assert latencies[-1] > 1.2 * latencies[0]
        tokens = {point.mean("tokens_per_request") for point in points if point}
        assert max(filter(None, tokens)) / min(filter(None, tokens)) == pytest.approx(1, abs=0.02)


def test_the_setting_is_a_coordinate_of_every_table(opened: OpenedRun) -> None:
    slugs = {setting.slug for setting in SETTINGS}
    for name in ("cells", "requests", "accuracy", "contrasts"):
        rows = opened.rows(name)
        assert {row["board"] for row in rows} == slugs, name
        assert all(row["board"] == board_of(row["load"]) for row in rows)
    assert {row["reference_board"] for row in opened.rows("contrasts")} == slugs
    assert set(pq.read_table(opened.dir.plan).column("board").to_pylist()) == slugs
    header, *lines = opened.dir.summary.read_text().splitlines()
    assert '"board"' in header
    assert len(lines) == 2 * 2 * 5


def test_batching_and_variants_are_compared_on_boards_that_are_set_alike(results: Results) -> None:
    for kind in ("batched_vs_single", "variant_vs_baseline"):
        contrasts = results.of(MODEL_NAME, kind)
        assert {board_of(contrast.load) for contrast in contrasts} == {setting.slug for setting in SETTINGS}
        assert all(board_of(contrast.load) == board_of(contrast.reference_load) for contrast in contrasts)


def test_the_answer_names_the_limit_with_the_least_joules_and_what_it_costs_in_latency(
    opened: OpenedRun, results: Results
) -> None:
    answers = answers_of(results, MODEL_NAME, opened.context.concurrency)
    [answer] = [candidate for candidate in answers if candidate.question == BOARDS]
    assert len(answer.sentences) == 2 * 2
    [told] = [sentence for sentence in answer.sentences if sentence.startswith("bf16 under single-stream")]
    assert "65w takes the least of 5 settings" in told
    assert "less J/request than as-found" in told
    assert "median latency" in told


def test_within_bounds_of_latency_another_limit_takes_the_least(results: Results) -> None:
    least = {bounds: board_sentences(results, MODEL_NAME, slo) for bounds, slo in (("no", {}), ("some", SLO))}
    told = {
        bounds: next(sentence for sentence in sentences if sentence.startswith("bf16 under closed-8"))
        for bounds, sentences in least.items()
    }
    assert "65w takes the least" in told["no"]
    assert "85w takes the least" in told["some"]
    assert "that kept end-to-end latency up to 1.50 s" in told["some"]
    assert "% of its requests did" in told["some"]


def test_report_and_figure_show_joules_and_latency_over_limit_and_clock(opened: OpenedRun) -> None:
    drawing = drawing_of(opened, "limits")
    axes = drawing.figure().axes
    assert [panel.get_ylabel() for panel in axes if panel.get_ylabel()] == [
        "J / request (gross)",
        "median latency, ms",
    ]
    limits = {float(x) for line in axes[0].get_lines() for x in np.asarray(line.get_xdata())}
    assert limits == {65.0, 85.0, 95.0, 300.0}
    page = write_report(opened.dir).read_text()
    assert f"limits-{MODEL_NAME}" in page
    assert "setting of the boards (behind @) over as-found" in page


def test_a_study_that_sets_no_board_has_neither_figure_nor_sentence(small: World) -> None:
    run = open_run(small.run)
    assert {row["board"] for row in run.cells} == {None}
    assert BOARDS not in [answer.question for answer in answers_in(run, read_results(run), MODEL_NAME)]


def test_a_limit_that_did_not_hold_makes_the_cell_invalid(tmp_path: Path) -> None:
    boards = (BoardSetting(power_limit_w=95), BoardSetting(sm_clock_mhz=990))
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], boards=boards, blocks=1).build()
    for setting, field, told in (("95w", "power_limit_w", 90.0), ("990mhz", "locked_mhz", 600)):
        folder = world.run.cell(CellKey(MODEL_NAME, "bf16", f"single-stream@{setting}", 1))
        record = read_cell(folder)
        assert record.board is not None
        [(device, shown)] = record.board.boards.items()
        other = record.board.model_copy(update={"boards": {device: shown.model_copy(update={field: told})}})
        write_cell(folder, record.model_copy(update={"board": other}))
    reasons = {
        row["load"]: row["reasons"] for row in open_run(world.run).cells if row["metric"] == "j_per_request"
    }
    assert reasons == {"single-stream@95w": ["board_not_held"], "single-stream@990mhz": ["board_not_held"]}


def test_a_limit_above_the_one_a_board_was_found_with_makes_no_power_impossible(tmp_path: Path) -> None:
    boards = (BoardSetting(power_limit_w=300),)
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], boards=boards, blocks=1).build()
    manifest = json.loads(world.run.manifest.read_text())
    manifest["gpus"] = [{"uuid": world.sensor.device, "power_limit_w": 20.0}]  # its windows draw about 100 W
    world.run.manifest.write_text(json.dumps(manifest))
    [row] = [row for row in open_run(world.run).cells if row["metric"] == "j_per_request"]
    assert row["reasons"] == []


def test_plans_that_are_older_than_the_column_are_read(small: World) -> None:
    table = pq.read_table(small.run.plan)
    pq.write_table(table.drop_columns(["board"]), small.run.plan)
    assert {row["load"] for row in open_run(small.run).cells} == {"single-stream", "closed-8"}
