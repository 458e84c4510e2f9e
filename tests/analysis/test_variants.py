"""What the tables and the report make of control variants and of models that have learnt nothing."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.report import write_report
from analysis.tables import analyze
from configs.loader import dump_study, load_study
from study.grading import ungraded_cells
from tests.golden.world import World
from traces.atomic import write_text
from traces.cell import read_cell, write_cell


def test_a_variant_is_set_against_its_control_too_and_the_report_names_it(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb", "pruned-last-1"), blocks=3).build()
    study = load_study(world.run.study)
    controlled = study.model_copy(update={"controls": {"int8-bnb": "pruned-last-1"}})
    write_text(world.run.study, dump_study(controlled))
    analyze(world.run)
    rows = pq.read_table(world.run.table("contrasts")).to_pylist()
    value = {
        (row["variant"], row["reference_variant"]): row["value"]
        for row in rows
        if row["metric"] == "j_per_request_ratio" and row["load"] == "closed-8"
    }
    pairs = {("int8-bnb", "bf16"), ("pruned-last-1", "bf16"), ("int8-bnb", "pruned-last-1")}
    assert set(value) == pairs
    through_baseline = value["int8-bnb", "bf16"] / value["pruned-last-1", "bf16"]
    assert value["int8-bnb", "pruned-last-1"] == pytest.approx(through_baseline, rel=1e-9)
    page = write_report(world.run).read_text()
    assert "int8-bnb over pruned-last-1" in page
    assert "variant over its control" in page


def test_random_weights_have_no_pass_at_1_and_the_tables_say_why(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb"), blocks=1, memorised=False).build()
    for key in world.cell_keys():
        folder = world.run.cell(key)
        for grades in folder.glob("grades.*"):
            grades.unlink()
        record = read_cell(folder)
        served = record.served.model_copy(update={"random_weights": True})
        write_cell(folder, record.model_copy(update={"served": served, "validity": ["random_weights"]}))
    assert ungraded_cells(world.run) == [], "there is nothing to grade"
    summary = analyze(world.run)
    accuracy = pq.read_table(world.run.table("accuracy")).to_pylist()
    assert {(row["graded"], row["reason"]) for row in accuracy} == {(False, "random_weights")}
    cells = pq.read_table(world.run.table("cells")).to_pylist()
    solved = [row for row in cells if row["metric"].startswith(("pass_at_1", "j_per_solved_task"))]
    assert {row["value"] for row in solved} <= {None}
    joules = [row for row in cells if row["metric"] == "j_per_request"]
    assert joules
    assert all(row["valid"] and row["value"] > 0 for row in joules), "energy stands"
    assert not [cell for cell in summary.invalid if "random_weights" in cell.reasons]
    assert "it has learnt nothing that could be graded" in write_report(world.run).read_text()


def test_a_family_that_nobody_tried_is_noted_and_nothing_of_it_is_left_out(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb"), blocks=1).build()
    for key in world.cell_keys():
        folder = world.run.cell(key)
        record = read_cell(folder)
        served = record.served.model_copy(update={"family": "olmo2", "notes": ["untested_family"]})
        write_cell(folder, record.model_copy(update={"served": served}))
    summary = analyze(world.run)
    assert not summary.invalid
    cells = pq.read_table(world.run.table("cells")).to_pylist()
    notes = [row for row in cells if row["metric"] == "check:untested_family"]
    assert {(row["valid"], tuple(row["reasons"])) for row in notes} == {(True, ("untested_family",))}
    assert all(row["valid"] for row in cells if row["metric"] == "j_per_request")
    assert "Nobody tried this family of models here" in write_report(world.run).read_text()
