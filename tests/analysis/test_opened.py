"""A run is read once, whatever is made of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from analysis.compare.runs import compare
from analysis.opened import OpenedRun, open_run
from analysis.report import write_report
from analysis.report.comparison import write_comparison
from analysis.tables import analyze
from starwatt_errors import TraceError
from tests.golden.world import LOADS, World
from tests.support.opens import counted_opens
from traces.atomic import write_parquet
from traces.layout import RunDir
from traces.parquet import load_parquet, with_column


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDir]:
    """Two runs that have their tables."""
    folder = tmp_path_factory.mktemp("opened")
    built = [
        World(folder / name, variants=("bf16", "int8-bnb"), loads=LOADS[:2], blocks=2).build().run
        for name in ("one", "two")
    ]
    for run in built:
        analyze(run)
    return built


def test_comparing_runs_opens_each_file_once_to_read_it_and_once_to_tell_whether_it_changed(
    runs: list[RunDir], tmp_path: Path
) -> None:
    with counted_opens(runs[0].root.parent) as counts:
        write_comparison(compare(runs), tmp_path / "page.html")
    for run in runs:
        tables = {path.name: counts[path] for path in run.table("cells").parent.glob("*.parquet")}
        assert tables == dict.fromkeys(
            ("cells.parquet", "requests.parquet", "contrasts.parquet", "accuracy.parquet"), 1
        )
        assert counts[run.study] == counts[run.manifest] == 2
        for key in run.finished_cells():
            folder = run.cell(key)
            assert counts[folder / "cell.json"] == 2
            assert {counts[path] for path in folder.glob("*.parquet")} == {1}
    assert counts.total() == sum(counts[path] for run in runs for path in run.root.rglob("*"))


def test_the_count_of_opens_sees_what_reads_a_file_twice(runs: list[RunDir]) -> None:
    with counted_opens(runs[0].root) as counts:
        for _ in range(2):
            OpenedRun(runs[0]).table("cells")
    assert counts == {runs[0].table("cells"): 2}


def test_a_run_that_is_not_analysed_is_when_it_is_opened(tmp_path: Path) -> None:
    run = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], blocks=1).build().run
    assert not OpenedRun(run).is_analysed
    assert open_run(run).meters == (("gpu", "nvml"),)
    assert OpenedRun(run).is_analysed
    write_report(run)
    assert OpenedRun(run).is_analysed
    run.study.write_text(run.study.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert not OpenedRun(run).is_analysed


@pytest.mark.parametrize(
    ("name", "column", "value", "why"),
    [
        ("cells", "boundary", None, "one of boundary and source"),
        ("cells", "boundary", "elsewhere", "one of boundary and source"),
        ("cells", "value", math.inf, "numbers in value that are none"),
        ("cells", "hi", math.nan, "numbers in hi that are none"),
        ("contrasts", "value", None, "valid rows without value"),
        ("contrasts", "hi", None, "one end of an interval"),
        ("contrasts", "hi", -1.0, "intervals that end before they begin"),
        ("accuracy", "plus_passed", None, "graded tasks without base_passed or plus_passed"),
    ],
)
def test_a_table_whose_rows_somebody_rewrote_is_refused_in_words_and_made_again(
    runs: list[RunDir], name: str, column: str, value: float | str | None, why: str
) -> None:
    path = runs[0].table(name)
    whole = load_parquet(path)
    write_parquet(path, with_column(whole, column, [value] * whole.num_rows))
    with pytest.raises(TraceError, match=rf"{name}\.parquet: has .*{why}.*; starwatt analyze makes it again"):
        OpenedRun(runs[0]).table(name)
    assert open_run(runs[0]).table(name).equals(whole)
