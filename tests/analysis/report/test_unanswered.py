"""What a report says of a run that has no answer: why, and never that it was not metered where it was."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from analysis.report import write_report
from tests.golden.world import LOADS, World
from tests.support.tamper import rewrite
from traces.layout import RunDir
from traces.parquet import with_column


def refused(table: pa.Table) -> pa.Table:
    """The same requests, of which none was answered."""
    return with_column(table, "status", ["http_error"] * table.num_rows)


@pytest.mark.parametrize(
    ("loads", "lost", "says"),
    [
        (2, "answers", ("no two of its 2 variants and loads have", "Power was recorded", "no_completed_request")),
        (2, "power", ("0 of them have any; reasons: no_power", "There is no power in this run", "not metered")),
        (1, "power", ("a single variant and load", "not metered")),
    ],
)  # fmt: skip
def test_a_run_without_an_answer_says_why(
    tmp_path: Path, loads: int, lost: str, says: tuple[str, ...]
) -> None:
    run: RunDir = World(tmp_path / "run", ("bf16",), loads=LOADS[:loads], blocks=1, tasks=4).build().run
    for key in run.finished_cells():
        if lost == "power":
            (run.cell(key) / "power.parquet").unlink()
        else:
            rewrite(run.cell(key) / "requests.parquet", refused)
            (run.cell(key) / "grades.parquet").unlink()
    write_report(run)
    page = " ".join(run.report.read_text(encoding="utf-8").split())
    assert all(words in page for words in says)
    assert ("There is no power in this run" in page) == (lost == "power")
