"""Two runs of one data set that answered other tasks of it, or measured other conditions: it is said, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.compare.runs import compare
from analysis.report.comparison import remark_lines, write_comparison
from tests.golden.world import LOADS, World
from tests.support.tamper import rewrite
from traces.parquet import with_column


def test_other_tasks_of_the_same_data_set_are_said_to_be_in_the_ratios(tmp_path: Path) -> None:
    worlds = [
        World(tmp_path / f"of{tasks}", ("bf16",), loads=LOADS[:1], blocks=1, tasks=tasks).build()
        for tasks in (4, 6)
    ]
    found = compare([world.run for world in worlds])
    words = "of6 answered 6 tasks of bf16 under single-stream, of4 4, and both 4 of these"
    assert remark_lines(found) == [f"{words}: what tasks differ by is in the ratios"]
    assert words in write_comparison(found, tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("lost", [None, "study.yaml"])
def test_what_one_run_has_alone_is_named_and_an_unknown_study_differs_in_nothing(
    tmp_path: Path, lost: str | None
) -> None:
    one = World(tmp_path / "one", ("bf16",), loads=LOADS[:2], blocks=1, tasks=4).build().run
    two = World(tmp_path / "two", ("bf16",), loads=LOADS[:1], blocks=1, tasks=4).build().run
    if lost is not None:
        (two.root / lost).unlink()
    found = compare([one, two])
    assert remark_lines(found) == ["only in one: starcoder2-memorised · bf16 · closed-8"]
    assert any(change.field.startswith("loads") for change in found.others[0].study) == (lost is None)


def test_nothing_is_said_of_the_tasks_of_a_run_whose_answers_name_none(tmp_path: Path) -> None:
    own, theirs = (
        World(tmp_path / name, ("bf16",), loads=LOADS[:1], blocks=1, tasks=4).build().run
        for name in ("own", "theirs")
    )
    for key in theirs.finished_cells():
        (theirs.cell(key) / "grades.parquet").unlink()
        rewrite(
            theirs.cell(key) / "requests.parquet",
            lambda table: with_column(table, "task_id", [None] * table.num_rows),
        )
    assert remark_lines(compare([own, theirs])) == []
