"""Verdicts of an older grader: they stand, every command says so, and ``starwatt grade`` judges again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from analysis.accuracy.grader import GRADED_IN, GRADER_VERSION, grader_of
from analysis.report import write_report
from analysis.tables import analyze
from analysis.verify.run import verify
from study.grading import ungraded_cells
from tests.golden.world import LOADS, World
from tests.support.tamper import rewrite


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two cells whose grades name no grader, as older starwatts wrote them."""
    return World(tmp_path_factory.mktemp("grader") / "run", ("bf16",), loads=LOADS[:2], blocks=1).build()


def graded_in(path: Path, version: str) -> None:
    """Write into grades which grader made them."""

    def said(table: pa.Table) -> pa.Table:
        return table.replace_schema_metadata({**table.schema.metadata, GRADED_IN: version})

    rewrite(path, said)


def test_verdicts_of_an_older_grader_are_named_and_graded_again(world: World) -> None:
    older, newer = world.run.finished_cells()
    graded_in(world.run.cell(older) / "grades.parquet", str(GRADER_VERSION - 1))
    graded_in(world.run.cell(newer) / "grades.parquet", str(GRADER_VERSION + 1))
    [warning] = analyze(world.run).warnings
    assert f"1 cell was graded by version {GRADER_VERSION - 1} of the grader" in warning
    assert "starwatt grade" in warning
    write_report(world.run)
    page = world.run.report.read_text(encoding="utf-8")
    assert "graded_by_older" in page
    found = verify(world.run)
    assert found.remarks == (warning,)
    assert found.ok, "the verdicts are what they were"
    assert ungraded_cells(world.run) == [older]


@pytest.mark.parametrize("said", ["", "7.5", "-1", "\N{SUPERSCRIPT TWO}", "9" * 40, "six"])
def test_a_version_that_is_none_is_unknown(said: str) -> None:
    assert grader_of({GRADED_IN.encode(): said.encode()}) is None
    assert grader_of(None) is None
