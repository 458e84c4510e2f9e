"""Figures for papers and tables for spreadsheets, of a run that was analysed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from analysis.opened import OpenedRun
from analysis.report.figures.catalogue import drawings_of
from analysis.report.figures.drawing import Width
from analysis.tables import read_table
from traces.atomic import atomic_path, write_text
from traces.layout import RunDir

_PROLOG = '<?xml version="1.0" encoding="utf-8"?>\n'


def export_figures(run: RunDir, folder: Path, width: Width = "double") -> list[Path]:
    """Every figure of the report as ``<name>.svg``, with its words inside for who cannot see it, and ``<name>.pdf``.

    Args:
        run: analysed.
        folder: where to.
        width: of one column of a paper (3.5 inches), or of both (7.16).

    Raises:
        TraceError: the tables are not there.
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


def export_tables(run: RunDir, folder: Path) -> list[Path]:
    """Every derived table as ``<name>.csv`` and ``<name>.parquet``; in CSV a list is joined by spaces, a null is empty.

    Raises:
        TraceError: a table does not read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(run.table("cells").parent.glob("*.parquet")):
        table = read_table(run, path.stem)
        pq.write_table(table, folder / path.name)
        pacsv.write_csv(_flat(table), folder / f"{path.stem}.csv")
        written += [folder / f"{path.stem}.csv", folder / path.name]
    return written


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
