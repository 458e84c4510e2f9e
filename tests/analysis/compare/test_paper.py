"""The paper's runs, computed again, and its total as a view of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.cells.paper_total import paper_total_rows
from analysis.compare.paper import Configuration, paper_figures, read_runs
from starwatt_errors import TraceError

FIGURES = {one.configuration: one for one in paper_figures(read_runs())}


def figure(model: str, quantisation: str, tokens: int = 128) -> Any:
    """Of a quantised model."""
    return FIGURES[Configuration(model, tokens, quantisation, 0)]


def test_all_its_runs_are_read_and_its_totals_add_up() -> None:
    assert sum(paper.runs for paper in FIGURES.values()) == 192
    for paper in FIGURES.values():
        assert paper.recomputed_wh == pytest.approx(paper.total_wh, rel=2e-4)


def test_its_published_increases_are_shares_of_the_quantised_total() -> None:
    quantised = [paper for name, paper in FIGURES.items() if name.quantisation != "none"]
    assert len(quantised) == 8
    shares = [paper.total_share or 0.0 for paper in quantised]
    assert min(shares) == pytest.approx(0.19, abs=0.005)
    assert max(shares) == pytest.approx(0.73, abs=0.005)
    assert max(paper.total_change or 0.0 for paper in quantised) == pytest.approx(2.72, abs=0.005)


def test_the_boundary_decides_the_sign_of_its_four_bit_figure() -> None:
    small, large = figure("starcoder2-3b", "bnb-fp4"), figure("starcoder2-7b", "bnb-fp4")
    assert small.gpu_change == pytest.approx(0.05, abs=0.005)
    assert small.boundary_share == pytest.approx(0.975, abs=0.005)
    assert large.gpu_change == pytest.approx(-0.18, abs=0.005)
    assert large.total_change == pytest.approx(0.396, abs=0.005)
    assert large.boundary_share > 1


def test_a_file_that_does_not_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("model,gpu_wh\na,1\n", encoding="utf-8")
    with pytest.raises(TraceError, match=r"x\.csv"):
        read_runs(tmp_path / "x.csv")
    with pytest.raises(TraceError):
        read_runs(tmp_path / "none.csv")


def row(
    metric: str, value: float | None, boundary: str | None = None, source: str | None = None
) -> dict[str, Any]:
    """A row of ``tables/cells``."""
    return {
        "model": "m", "variant": "v", "load": "l", "block": 1, "boundary": boundary, "source": source,
        "metric": metric, "value": value, "unit": "J", "lo": None, "hi": None, "interval_kind": None,
        "valid": value is not None, "reasons": [] if value is not None else ["power_gap"],
    }  # fmt: skip


def test_the_papers_total_is_gpu_and_packages_and_45_watts() -> None:
    rows = [
        row("energy_gross_j", 1000.0, "gpu", "nvml"),
        row("energy_gross_j", 500.0, "cpu", "rapl"),
        row("requests_in_window", 10.0),
        row("window_s", 20.0),
    ]
    totals = {total["metric"]: total for total in paper_total_rows(rows)}
    assert totals["paper_total_j_per_request"]["value"] == pytest.approx((1000 + 500 + 45 * 20) / 10)
    assert totals["paper_outside_share"]["value"] == pytest.approx(1400 / 2400)
    assert totals["paper_total_j_per_request"]["boundary"] is None


def test_without_packages_there_is_no_view_and_an_invalid_half_makes_it_invalid() -> None:
    rest = [row("requests_in_window", 10.0), row("window_s", 20.0)]
    gpu = row("energy_gross_j", 1000.0, "gpu", "nvml")
    assert paper_total_rows([gpu, *rest]) == []
    assert paper_total_rows([gpu, row("energy_gross_j", 5.0, "cpu", "modelled"), *rest]) == []
    for total in paper_total_rows([gpu, row("energy_gross_j", None, "cpu", "rapl"), *rest]):
        assert (total["value"], total["valid"], total["reasons"]) == (None, False, ["power_gap"])
