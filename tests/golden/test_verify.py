"""``starwatt verify``: a run that holds, and runs that were changed after they were measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analysis.report import write_report
from analysis.tables import analyze
from analysis.verify import verify
from tests.golden.world import LOADS, World
from tests.study.command import starwatt
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


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """A Parquet file with something changed, its metadata kept."""
    pq.write_table(change(pq.read_table(path)), path)


def scaled(column: str, factor: float) -> Callable[[pa.Table], pa.Table]:
    """All values of a column times ``factor``."""
    return lambda table: table.set_column(
        table.schema.get_field_index(column), table.schema.field(column), pc.multiply(table[column], factor)
    )


def test_a_run_that_was_left_alone_holds_under_any_folder_name(run: RunDir) -> None:
    found = verify(run)
    assert found.findings == ()
    assert (found.cells, found.requests) == (2, 48)
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
    found = verify(run)
    assert kinds <= {finding.kind for finding in found.findings}
    assert all(finding.where and finding.what for finding in found.findings)


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
