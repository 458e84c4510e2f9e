"""Cells are what their folder says, or damaged: moved, copied, exchanged, changed, and of another run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analysis.compare.runs import compare
from analysis.report import write_report
from analysis.tables import analyze, read_table
from study.grading import graded_rows, sound_cells, ungraded_cells
from study.records.run_id import run_id_of
from tests.golden.engine import Load
from tests.golden.world import MODEL_NAME, World
from traces.atomic import read_json, write_json
from traces.cell import file_digests, read_record, write_cell
from traces.layout import CellKey, RunDir, key_at

OURS = "0123456789abcdef"


def named(run: RunDir) -> RunDir:
    """As a runner leaves it: cells with the run's id and the digests of their files."""
    write_json(run.manifest, {**read_json(run.manifest), "run_id": OURS})
    for key in run.finished_cells():
        folder = run.cell(key)
        files = {name: digest for name, digest in file_digests(folder).items() if name != "grades.parquet"}
        write_cell(folder, read_record(folder).model_copy(update={"run_id": OURS, "files": files}))
    return run


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two blocks of one cell, as an older runner left them."""
    folder = tmp_path_factory.mktemp("identity") / "run"
    return World(folder, variants=("bf16",), loads=(Load("closed-8", concurrency=8),), blocks=2).build()


@pytest.fixture(params=["older", "with digests"])
def run(request: pytest.FixtureRequest, built: World, tmp_path: Path) -> RunDir:
    shutil.copytree(built.root, tmp_path / "run")
    outer = RunDir(tmp_path / "run")
    return named(outer) if request.param == "with digests" else outer


def block(run: RunDir, number: int, variant: str = "bf16") -> Path:
    return run.cell(CellKey(MODEL_NAME, variant, "closed-8", number))


def says(folder: Path, **changed: Any) -> None:
    """Let cell.json say something else."""
    write_cell(folder, read_record(folder).model_copy(update=changed))


def exchanged(run: RunDir) -> None:
    aside = run.root / "aside"
    block(run, 1).rename(aside)
    block(run, 2).rename(block(run, 1))
    aside.rename(block(run, 2))


def copied(run: RunDir) -> None:
    shutil.rmtree(block(run, 2))
    shutil.copytree(block(run, 1), block(run, 2))


def copied_and_renamed(run: RunDir) -> None:
    copied(run)
    says(block(run, 2), block=2)


def power_copied(run: RunDir) -> None:
    shutil.copyfile(block(run, 1) / "power.parquet", block(run, 2) / "power.parquet")


def a_variant_renamed(run: RunDir) -> None:
    block(run, 1).parent.parent.rename(run.cells / MODEL_NAME / "nf4-bnb")


def a_variant_renamed_inside_too(run: RunDir) -> None:
    a_variant_renamed(run)
    for number in (1, 2):
        says(block(run, number, "nf4-bnb"), variant="nf4-bnb")


def after_another_start(run: RunDir) -> None:
    says(block(run, 2), boot_id="00000000-0000-0000-0000-000000000000")


def of_another_run(run: RunDir) -> None:
    write_json(run.manifest, {**read_json(run.manifest), "run_id": OURS})
    says(block(run, 2), run_id="fedcba9876543210")


MOVED: dict[Callable[[RunDir], None], set[tuple[str, int]]] = {
    exchanged: {("bf16", 1), ("bf16", 2)},
    copied: {("bf16", 2)},
    copied_and_renamed: {("bf16", 1), ("bf16", 2)},
    a_variant_renamed: {("nf4-bnb", 1), ("nf4-bnb", 2)},
    a_variant_renamed_inside_too: {("nf4-bnb", 1), ("nf4-bnb", 2)},
    after_another_start: {("bf16", 2)},
    of_another_run: {("bf16", 2)},
}


@pytest.mark.parametrize("move", MOVED)
def test_a_cell_that_is_not_what_its_folder_says_is_damaged_for_every_reader(
    run: RunDir, move: Callable[[RunDir], None]
) -> None:
    move(run)
    damaged = {
        (cell.key.variant, cell.key.block)
        for cell in analyze(run).invalid
        if cell.reasons == ("trace_damaged",)
    }
    assert damaged == MOVED[move]
    assert not {(key.variant, key.block) for key in sound_cells(run)} & damaged
    assert not {(row["variant"], row["block"]) for row in graded_rows(run)} & damaged
    for key in run.finished_cells():
        (run.cell(key) / "grades.parquet").unlink()
    assert not {(key.variant, key.block) for key in ungraded_cells(run)} & damaged


def test_a_copied_power_trace_is_of_one_cell_alone(run: RunDir) -> None:
    power_copied(run)
    damaged = {cell.key.block for cell in analyze(run).invalid if cell.reasons == ("trace_damaged",)}
    assert 2 in damaged
    if read_record(block(run, 1)).files:
        assert damaged == {2}, "the digests tell which is the copy"


def test_a_file_that_was_changed_or_lost_after_the_cell_was_finished_is_seen(
    built: World, tmp_path: Path
) -> None:
    shutil.copytree(built.root, tmp_path / "run")
    run = named(RunDir(tmp_path / "run"))
    path = block(run, 1) / "engine.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    (block(run, 2) / "power.parquet").unlink()
    problems = {cell.key.block: cell.problem or "" for cell in analyze(run).invalid}
    assert "engine.parquet: is not the file" in problems[1]
    assert "power.parquet: is missing" in problems[2]


def test_report_and_compare_look_again_where_cells_were_exchanged_after_the_analysis(
    run: RunDir, built: World
) -> None:
    analyze(run)
    exchanged(run)
    page = write_report(run).read_text(encoding="utf-8")
    assert "trace_damaged" in page
    rows = read_table(run, "cells").to_pylist()
    assert {row["block"] for row in rows if "trace_damaged" in row["reasons"]} == {1, 2}
    exchanged(run)
    analyze(run)
    exchanged(run)
    differences = compare([built.run, run]).of("j_per_request")
    assert [difference.value for difference in differences] == [None]


def test_grades_of_other_requests_are_not_taken(run: RunDir) -> None:
    shutil.copyfile(block(run, 1) / "grades.parquet", block(run, 2) / "grades.parquet")
    [found] = analyze(run).invalid
    assert (found.key.block, found.reasons) == (2, ("trace_damaged",))
    assert "judges other requests" in (found.problem or "")


def test_a_second_spelling_of_a_block_is_no_cell(run: RunDir) -> None:
    shutil.copytree(block(run, 1), block(run, 1).with_name("b01"))
    assert [key.block for key in run.finished_cells()] == [1, 2]
    assert key_at(block(run, 1).with_name("b01")) is None


def test_a_run_keeps_its_id_when_its_manifest_is_lost(run: RunDir, tmp_path: Path) -> None:
    known = read_record(block(run, 1)).run_id
    run.manifest.unlink()
    again = run_id_of(run, None)
    assert (again == known) == (known is not None)
    assert run_id_of(run, {"run_id": "a"}) == "a"
    assert run_id_of(RunDir(tmp_path / "none"), None) != run_id_of(RunDir(tmp_path / "none"), None)


def test_a_record_of_older_starwatt_reads_without_id_and_digests(built: World) -> None:
    folder = block(built.run, 1)
    said = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    for name in ("run_id", "files"):
        said.pop(name)
    record = type(read_record(folder)).model_validate(said)
    assert (record.run_id, record.files) == (None, {})
