"""The page of the first real board says what its traces say."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analysis.report import write_report
from analysis.tables import analyze
from analysis.verify.run import verify
from traces.layout import RunDir

PAGES = Path(__file__).parents[2] / "docs" / "measurements"
IN_FLIGHT = {"1": "single-stream", "8": "closed-8", "64": "closed-64"}
METRICS = {
    2: "j_per_output_token",
    3: "j_per_request",
    4: "output_token_rate",
    5: "power_mean_w",
    6: "tpot_p50_ms",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The run as it was recorded."""
    folder = tmp_path_factory.mktemp("h200")
    with tarfile.open(PAGES / "h200" / "formats.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return RunDir(folder / "first-starcoder2-3b")


def blocks(run: RunDir, variant: str, load: str, metric: str) -> list[float]:
    """A figure of each block."""
    table = pq.read_table(run.table("cells"))
    rows = table.filter(
        pc.and_(
            pc.and_(pc.equal(table["variant"], variant), pc.equal(table["load"], load)),
            pc.equal(table["metric"], metric),
        )
    )
    assert rows.num_rows == 3
    return [float(value) for value in rows["value"].to_pylist()]


def test_each_figure_of_the_page_is_that_of_the_run(run: RunDir) -> None:
    lines = re.findall(r"^\| `.*\|$", (PAGES / "h200.md").read_text(encoding="utf-8"), re.M)
    assert len(lines) == 9
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        variant, load = cells[0].strip("`"), IN_FLIGHT[cells[1]]
        for place, metric in METRICS.items():
            values = blocks(run, variant, load, metric)
            mean, *range_ = (float(text) for text in re.findall(r"[\d.]+", cells[place].replace(" ", "", 1)))
            assert mean == pytest.approx(sum(values) / 3, rel=0.005)
            assert range_ in (
                [],
                [pytest.approx(min(values), rel=0.005), pytest.approx(max(values), rel=0.005)],
            )


def test_its_traces_give_its_figures_with_todays_code_too(run: RunDir) -> None:
    recorded = figures(run)
    analyze(run)
    write_report(run)
    found = verify(run)
    assert (found.cells, found.requests, found.findings) == (27, 16_944, ())
    now = figures(run)
    assert recorded.keys() <= now.keys()
    assert all(now[row] == pytest.approx(value, rel=1e-9, nan_ok=True) for row, value in recorded.items())


def figures(run: RunDir) -> dict[tuple[str, ...], float]:
    """All cells' figures that there are, by what they are of."""
    names = ("variant", "load", "block", "boundary", "source", "metric")
    rows = pq.read_table(run.table("cells")).to_pylist()
    return {tuple(str(row[name]) for name in names): row["value"] for row in rows if row["value"] is not None}
