"""Runs of which nothing was answered, or no power recorded: a comparison says so, and leaves nothing out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from analysis.compare.runs import compare
from analysis.metrics import metric
from analysis.report.comparison import write_comparison
from tests.golden.world import LOADS, World
from tests.support.tamper import rewrite
from traces.layout import RunDir
from traces.parquet import with_column


def emptied(root: Path, name: str, variant: str) -> RunDir:
    """A run of one block in which no request of a variant was answered, or whose cells lack a trace."""
    run = World(root, variants=("bf16", "int8-bnb"), loads=LOADS[:1], blocks=1, tasks=6).build().run
    for key in run.finished_cells():
        if key.variant == variant and name == "requests":
            rewrite(run.cell(key) / "requests.parquet", failed)
            (run.cell(key) / "grades.parquet").unlink()
        elif name == "power":
            (run.cell(key) / "power.parquet").unlink()
    return run


def failed(table: pa.Table) -> pa.Table:
    """The same requests, refused."""
    return with_column(table, "status", ["http_error"] * table.num_rows)


def test_a_variant_of_which_nothing_was_answered_stays_in_the_comparison_with_its_reasons(
    tmp_path: Path,
) -> None:
    runs = [emptied(tmp_path / name, "requests", "int8-bnb") for name in ("one", "two")]
    found = compare(runs)
    [row] = [one for one in found.differences if one.variant == "int8-bnb"]
    assert (row.metric, row.estimate.ratio) == ("j_per_request", None)
    assert set(row.estimate.reasons) == {"errors", "no_completed_request"}
    assert "no_completed_request" in write_comparison(found, tmp_path / "page.html").read_text(
        encoding="utf-8"
    )


def test_runs_without_power_are_said_to_have_none(tmp_path: Path) -> None:
    runs = [emptied(tmp_path / name, "power", "") for name in ("one", "two")]
    found = compare(runs)
    assert found.no_joules == "one and two have none"
    joules = [one for one in found.differences if metric(one.metric).each_boundary]
    assert {one.metric for one in joules} >= {"j_per_request", "j_per_output_token", "power_mean_w"}
    assert {one.estimate.reasons for one in joules} == {("no_power",)}
    page = write_comparison(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "one and two have none." in page
