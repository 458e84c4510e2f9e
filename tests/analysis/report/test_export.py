"""Figures for papers, tables for spreadsheets, and what joules cost by factors that somebody states."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from analysis.opened import OpenedRun
from analysis.report import write_report
from analysis.report.export import export_tables
from analysis.report.figures.catalogue import drawing_of
from analysis.results.costs import read_factors
from analysis.tables import read_table
from starwatt_errors import UsageError
from tests.analysis.report.test_report import Page
from tests.golden.world import LOADS, World
from tests.support.command import starwatt


def test_money_and_carbon_are_on_the_page_where_their_factors_are_stated_and_only_there(
    estimated: World, html: str, tmp_path: Path
) -> None:
    assert "Money and carbon" not in html
    factors = read_factors("0.30 EUR/kWh", None, None)
    priced = write_report(estimated.run, tmp_path / "priced.html", factors).read_text(encoding="utf-8")
    assert "cost, EUR (stated: 0.3 EUR/kWh)" in priced
    assert "energy, Wh (estimated)" in priced
    assert "(measured)" not in priced
    assert "carbon" not in {title.partition(",")[0] for title in Page(priced).titles}
    export_tables(estimated.run, tmp_path, factors)
    rows = pq.read_table(tmp_path / "costs.parquet").to_pylist()
    assert {(row["boundary"], row["source"]) for row in rows} == {("cpu", "modelled")}
    of = {
        (row["load"], row["per"], row["quantity"]): row["value"] for row in rows if row["variant"] == "bf16"
    }
    assert len(of) == 2 * 2 * len(LOADS)
    for (load, per, quantity), value in of.items():
        if quantity == "cost":
            assert value == pytest.approx(of[load, per, "energy"] * 0.0003)


def test_figures_and_tables_come_as_files_of_their_own(estimated: World, html: str, tmp_path: Path) -> None:
    assert html
    done = starwatt(
        "report", estimated.root, "--figures", tmp_path / "figures", "--tables", tmp_path / "tables"
    )
    assert done.returncode == 0, done.stderr
    written = [Path(line) for line in done.stdout.splitlines()]
    drawn = [path for path in written if path.suffix == ".svg"]
    assert len(drawn) == 6
    for path in drawn:
        figure = ElementTree.parse(path).getroot()  # noqa: S314 -- our own file
        assert len(figure.findtext("{http://www.w3.org/2000/svg}desc") or "") > 80
        assert figure.get("width") == f"{7.16 * 72:.2f}".rstrip("0") + "pt"
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    for name in ("cells", "requests", "contrasts", "accuracy"):
        table = read_table(estimated.run, name)
        assert pq.read_table(tmp_path / "tables" / f"{name}.parquet").equals(table)
        flat = pacsv.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert (flat.num_rows, flat.column_names) == (table.num_rows, table.column_names)
    values = pacsv.read_csv(tmp_path / "tables" / "cells.csv")["value"].to_pylist()
    assert values == read_table(estimated.run, "cells")["value"].to_pylist()


@pytest.mark.parametrize(("width", "inches"), [("single", 3.5), ("double", 7.16)])
def test_a_figure_is_as_wide_as_a_papers_column(
    estimated: World, html: str, width: Any, inches: float
) -> None:
    assert html
    drawing = drawing_of(OpenedRun(estimated.run), "joules")
    assert drawing.figure(width).get_figwidth() == inches
    assert f'width="{inches * 72:g}pt"' in drawing.svg_at(width)
    box = re.search(rb"/MediaBox \[([^]]*)\]", drawing.pdf_at(width))
    assert box is not None
    assert float(box[1].split()[2]) == pytest.approx(inches * 72)
    assert b"/Type3" not in drawing.pdf_at(width)


def test_a_figure_that_there_is_not_is_refused_with_those_that_there_are(estimated: World, html: str) -> None:
    assert html
    with pytest.raises(UsageError, match="joules, concurrency, limits, solved"):
        drawing_of(OpenedRun(estimated.run), "pie")
    with pytest.raises(UsageError, match="has no model"):
        drawing_of(OpenedRun(estimated.run), "joules", model="another")
