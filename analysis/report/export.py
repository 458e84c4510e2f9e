"""Figures for papers and tables for spreadsheets, of a run that was analysed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from analysis.keys import MeterKey
from analysis.opened import OpenedRun
from analysis.report.figures.catalogue import drawings_of
from analysis.report.figures.drawing import Width
from analysis.results.costs import Factors, cost_rows
from analysis.results.points import read_results
from analysis.tables import read_table
from traces.atomic import atomic_path, write_text
from traces.layout import RunDir

_COSTS = pa.schema(
    [
        (name, pa.string())
        for name in ("model", "variant", "load", "boundary", "source", "per", "quantity", "unit")
    ]
    + [(name, pa.float64()) for name in ("value", "lo", "hi")]
    + [("stated", pa.string()), ("reasons", pa.list_(pa.string()))]
)
_PROLOG = '<?xml version="1.0" encoding="utf-8"?>\n'


def export_figures(run: RunDir, folder: Path, width: Width = "double") -> list[Path]:
    """Write every figure of the report as ``<name>.svg``, with its words for who cannot see it, and ``<name>.pdf``.

    Args:
        run: analysed.
        folder: where to.
        width: of one column of a paper (3.5 inches), or of both (7.16).

    Raises:
        TraceError: the tables are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for drawing in drawings_of(OpenedRun(run)):
        svg = drawing.svg_at(width)
        inside = svg.index(">") + 1
        words = f"<title>{_escaped(drawing.title)}</title><desc>{_escaped(drawing.description)}</desc>"
        paths = [folder / f"{drawing.name}.{kind}" for kind in ("svg", "pdf")]
        write_text(paths[0], _PROLOG + svg[:inside] + words + svg[inside:])
        with atomic_path(paths[1]) as partial:
            partial.write_bytes(drawing.pdf_at(width))
        written += paths
    return written


def export_tables(run: RunDir, folder: Path, factors: Factors | None = None) -> list[Path]:
    """Write every derived table as ``<name>.csv`` and ``.parquet``; in CSV a list is joined by spaces, a null is empty.

    Args:
        run: analysed.
        folder: where to.
        factors: what somebody states of price and carbon: ``costs`` is a table too then.

    Raises:
        TraceError: a table cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(run.table("cells").parent.glob("*.parquet"))
    tables = {path.stem: read_table(run, path.stem) for path in paths}
    if factors is not None:
        tables["costs"] = _costs(run, factors)
    written = []
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
        pacsv.write_csv(_flat(table), folder / f"{name}.csv")
        written += [folder / f"{name}.csv", folder / f"{name}.parquet"]
    return written


def _costs(run: RunDir, factors: Factors) -> pa.Table:
    results = read_results(OpenedRun(run))
    costs, meter = cost_rows(results, factors), MeterKey.columns(results.pair)
    rows = [
        {
            **cost.condition._asdict(), **meter, "per": cost.per, "quantity": cost.quantity, "unit": cost.unit,
            "value": cost.value, "lo": cost.bounds and cost.bounds[0], "hi": cost.bounds and cost.bounds[1],
            "stated": cost.stated, "reasons": list(cost.reasons),
        }
        for cost in costs
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, _COSTS)


def _flat(table: pa.Table) -> pa.Table:
    columns = [
        pa.array(
            [None if items is None else " ".join(map(str, items)) for items in column.to_pylist()],
            pa.string(),
        )
        if pa.types.is_list(column.type)
        else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
