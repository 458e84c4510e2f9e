"""The report: one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from traces.layout import RunDir

if TYPE_CHECKING:
    from analysis.results.costs import Factors

__all__ = ["page_of", "write_report"]


def write_report(run: RunDir, out: Path | None = None, factors: Factors | None = None) -> Path:
    """Write ``report.html`` of ``run`` (or ``out``) and return its path; tables that are missing are made first.

    Args:
        run: with its cells.
        out: the page, in place of the run's own.
        factors: price, carbon and PUE that somebody states; without them the page has neither money nor carbon.

    Raises:
        TraceError: the run has no cell, or its tables cannot be read.
    """
    from analysis.report.page import write_page  # matplotlib takes a second to import: only a report pays

    return write_page(run, out, factors)


def page_of(run: RunDir) -> str:
    """Return what ``write_report`` would write for the tables that are there.

    Raises:
        TraceError: a table is missing, or cannot be read.
    """
    from analysis.opened import OpenedRun
    from analysis.report.page import render

    return render(OpenedRun(run))
