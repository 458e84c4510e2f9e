"""Where things lie in a run directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from traces.layout import CellKey, RunDir, model_slug

KEY = CellKey("bigcode--starcoder2-3b", "bf16", "closed-16", 2)


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("bigcode/starcoder2-3b", "bigcode--starcoder2-3b"),
        ("starcoder2-memorised", "starcoder2-memorised"),
        ("/models/starcoder2-3b", "starcoder2-3b"),
        ("./mine/", "mine"),
        ("../mine", "mine"),
        ("~/models/mine", "mine"),
    ],
)
def test_a_model_has_one_folder_name_whatever_it_is_called_by(model: str, slug: str) -> None:
    assert model_slug(model) == slug


def test_paths_are_those_of_the_design(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    paths = (run.study, run.manifest, run.plan, run.report, run.table("cells"), run.cell(KEY))
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "study.yaml",
        "manifest.json",
        "plan.parquet",
        "report.html",
        "tables/cells.parquet",
        "cells/bigcode--starcoder2-3b/bf16/closed-16/b2",
    ]
    assert not list(tmp_path.iterdir())


def test_only_cells_with_a_cell_json_are_finished_and_they_come_sorted(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    finished = [CellKey("m", "bf16", "closed-8", block) for block in (10, 2, 1)]
    for key in finished:
        run.cell(key).mkdir(parents=True)
        (run.cell(key) / "cell.json").write_text("{}")
    run.cell(CellKey("m", "bf16", "closed-8", 3)).mkdir()  # begun
    stray = run.cells / "m" / "bf16" / "closed-8" / "backup"
    stray.mkdir()
    (stray / "cell.json").write_text("{}")
    assert list(run.finished_cells()) == sorted(finished)
    assert [key.block for key in run.finished_cells()] == [1, 2, 10]


def test_a_run_that_is_not_there_has_no_cells(tmp_path: Path) -> None:
    assert list(RunDir(tmp_path / "none").finished_cells()) == []
