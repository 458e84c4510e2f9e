"""``starwatt verify``: a run that holds, and runs that were changed after they were measured."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analysis.compare.runs import compare
from analysis.report import write_report
from analysis.tables import analyze
from analysis.verify.run import verify
from starwatt_errors import StarwattError
from study.grading import graded_rows
from tests.golden.world import LOADS, World
from tests.support.command import starwatt
from tests.support.tamper import rewrite, scaled
from traces.cell import read_cell, write_cell
from traces.layout import RunDir


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A valid run with tables and report."""
    world = World(tmp_path_factory.mktemp("verify") / "run", variants=("bf16",), loads=LOADS[:2], blocks=1)
    world.build()
    analyze(world.run)
    write_report(world.run)
    return world


@pytest.fixture
def run(measured: World, tmp_path: Path) -> RunDir:
    """A copy to tamper with, under another name."""
    shutil.copytree(measured.root, tmp_path / "copy")
    return RunDir(tmp_path / "copy")


def test_a_run_that_was_left_alone_holds_under_any_folder_name(run: RunDir) -> None:
    verification = verify(run)
    assert verification.findings == ()
    assert (verification.cells, verification.requests) == (2, 48)
    done = starwatt("verify", run.root, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"ok": True, "cells": 2, "requests": 48, "findings": []}


def cell(run: RunDir) -> Path:
    """The first cell's folder."""
    return run.cell(next(iter(run.finished_cells())))


def power_lowered(run: RunDir) -> None:
    rewrite(cell(run) / "power.parquet", lambda t: scaled("energy_j", 0.9)(scaled("power_w", 0.9)(t)))


def joules_lowered_in_the_table(run: RunDir) -> None:
    rewrite(run.table("cells"), scaled("value", 0.9))


def a_contrast_left_out(run: RunDir) -> None:
    rewrite(run.table("contrasts"), lambda table: table.slice(1))


def a_reason_struck_out(run: RunDir) -> None:
    path = cell(run) / "power.parquet"
    rewrite(path, lambda table: table.filter(pc.less(table["t_ns"], pc.quantile(table["t_ns"], 0.5)[0])))


def grades_improved(run: RunDir) -> None:
    path = cell(run) / "grades.parquet"
    yes = pa.array([True] * 24)
    rewrite(
        path,
        lambda table: table.set_column(table.schema.get_field_index("plus"), "plus", yes).filter(
            pa.array([n > 2 for n in range(24)])
        ),
    )


def requests_left_out(run: RunDir) -> None:
    rewrite(cell(run) / "requests.parquet", lambda table: table.slice(0, table.num_rows - 8))


def errors_hidden(run: RunDir) -> None:
    def fail(table: pa.Table) -> pa.Table:
        status = pa.array(["timeout", *["ok"] * (table.num_rows - 1)])
        return table.set_column(table.schema.get_field_index("status"), "status", status)

    rewrite(cell(run) / "requests.parquet", fail)


def the_record_of_another_cell(run: RunDir) -> None:
    record = read_cell(cell(run))
    write_cell(cell(run), record.model_copy(update={"variant": "int8-bnb"}))


def the_report_rewritten(run: RunDir) -> None:
    page = run.report.read_text(encoding="utf-8")
    assert "costs" in page
    run.report.write_text(page.replace("costs", "costs only", 1), encoding="utf-8")


def a_table_torn(run: RunDir) -> None:
    run.table("accuracy").write_bytes(run.table("accuracy").read_bytes()[:100])


def a_trace_torn(run: RunDir) -> None:
    path = cell(run) / "requests.parquet"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("tamper", "kinds"),
    [
        (power_lowered, {"table_differs"}),
        (joules_lowered_in_the_table, {"table_differs", "report_differs"}),
        (a_contrast_left_out, {"table_differs"}),
        (a_reason_struck_out, {"invalid_cell", "table_differs"}),
        (grades_improved, {"grades_differ", "table_differs"}),
        (requests_left_out, {"table_differs"}),
        (errors_hidden, {"record_differs", "table_differs"}),
        (the_record_of_another_cell, {"record_differs"}),
        (the_report_rewritten, {"report_differs"}),
        (a_table_torn, {"table_differs"}),
        (a_trace_torn, {"trace_damaged", "table_differs"}),
    ],
)
def test_what_was_changed_after_measuring_is_found_and_named(
    run: RunDir, tamper: Callable[[RunDir], None], kinds: set[str]
) -> None:
    tamper(run)
    verification = verify(run)
    assert kinds <= {finding.kind for finding in verification.findings}
    assert all(finding.where and finding.what for finding in verification.findings)


@pytest.mark.parametrize(("factor", "kinds"), [(1 + 1e-14, set()), (1 + 1e-7, {"table_differs"})])
def test_what_another_processor_rounds_otherwise_is_no_difference(
    run: RunDir, factor: float, kinds: set[str]
) -> None:
    rewrite(run.table("cells"), scaled("value", factor))
    write_report(run)
    assert {finding.kind for finding in verify(run).findings} == kinds


def test_an_invalid_cell_ends_with_3_and_says_which_figure(run: RunDir) -> None:
    a_reason_struck_out(run)
    analyze(run)
    write_report(run)
    done = starwatt("verify", run.root, "--json")
    assert done.returncode == 3
    findings = json.loads(done.stdout)["findings"]
    assert {finding["kind"] for finding in findings} == {"invalid_cell"}
    assert any("power_gap" in finding["what"] for finding in findings)
    assert "power_gap" in starwatt("verify", run.root).stderr


def deleted(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def other_content(path: Path) -> None:
    """Valid for its kind, and nothing that a runner wrote."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"a": [1, 2]}), path)
    else:
        path.write_text("[]" if path.suffix == ".json" else "{}", encoding="utf-8")


def without_rows(path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    else:
        path.write_text("{}", encoding="utf-8")


FILES = (
    "study.yaml", "manifest.json", "plan.parquet", "report.html", "tables/cells.parquet", "tables/requests.parquet",
    "tables/contrasts.parquet", "tables/accuracy.parquet", "cell.json", "requests.parquet", "power.parquet",
    "grades.parquet",
)  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The least that has all files."""
    world = World(
        tmp_path_factory.mktemp("small") / "run", variants=("bf16",), loads=LOADS[:2], blocks=1, tasks=6
    )
    world.build()
    analyze(world.run)
    write_report(world.run)
    assert verify(world.run).ok
    return world


@pytest.mark.parametrize("name", FILES)
def test_no_file_of_a_run_can_be_missing_or_rubbish_without_a_finding(
    small: World, tmp_path: Path, name: str
) -> None:
    finds_harm(small, tmp_path / "run", name, other_content if name.startswith("tables/") else deleted)


@pytest.mark.long
@pytest.mark.parametrize(
    "harm", [deleted, emptied, cut_off, replaced_by_a_folder, other_content, without_rows]
)
@pytest.mark.parametrize("name", FILES)
def test_no_file_can_be_harmed_in_any_way_without_a_finding_and_every_reader_stands_it(
    small: World, tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    run = finds_harm(small, tmp_path / "run", name, harm)
    for read in (lambda: graded_rows(run), lambda: compare([small.run, run])):
        with contextlib.suppress(StarwattError):  # words, and no traceback
            read()
    if not name.startswith("tables/"):  # compare has made these again
        assert verify(run).findings != ()


def finds_harm(small: World, root: Path, name: str, harm: Callable[[Path], None]) -> RunDir:
    """A copy with one file harmed, which verify finds."""
    run = RunDir(root)
    shutil.copytree(small.root, run.root)
    harm(cell(run) / name if (cell(run) / name).is_file() else run.root / name)
    assert verify(run).findings != ()
    return run


def nothing_completed(run: RunDir) -> None:
    """Every request was refused, and nothing was graded."""
    path = cell(run) / "requests.parquet"
    table = pq.read_table(path)
    lost = {"status": "connection_error", "error": "refused"}
    nothing = dict.fromkeys(
        ("first_token_ns", "chunk_ns", "chunk_tokens", "completion", "finish_reason", "output_tokens")
    )
    rows = [{**row, **nothing, **lost} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    rewrite(cell(run) / "grades.parquet", lambda grades: grades.slice(0, 0))


def test_a_cell_in_which_nothing_completed_is_a_finding(small: World, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "copy")
    shutil.copytree(small.root, run.root)
    nothing_completed(run)
    analyze(run)
    write_report(run)
    findings = verify(run).findings
    assert "no_completed_request" in " ".join(finding.what for finding in findings)
    assert "table_differs" not in {finding.kind for finding in findings}


def test_records_that_no_command_reads_and_plans_of_other_studies_are_named(
    small: World, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "copy")
    shutil.copytree(small.root, run.root)
    shutil.copytree(cell(run), cell(run).with_name("b1 (copy)"))
    study = run.study.read_text(encoding="utf-8")
    run.study.write_text(
        study.replace("blocks: 1", "blocks: 2").replace("seed: 20", "seed: 21"), encoding="utf-8"
    )
    by_kind = {finding.kind: finding for finding in verify(run).findings}
    assert "b1 (copy)" in by_kind["not_checked"].where
    assert "lacks" in by_kind["plan_differs"].what
    assert "seed" in by_kind["record_differs"].what


def test_a_study_that_was_not_graded_and_one_without_a_report_are_findings(
    small: World, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "copy")
    shutil.copytree(small.root, run.root)
    (cell(run) / "grades.parquet").unlink()
    analyze(run)
    run.report.unlink()
    assert {finding.kind for finding in verify(run).findings} == {"not_graded", "report_differs"}
