"""The report: one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path

from traces.layout import RunDir

__all__ = ["page_of", "write_report"]


def write_report(run: RunDir) -> Path:
    """Write ``report.html`` of ``run`` and return its path; the tables are made first where they are missing.

    Raises:
        TraceError: the run has no cell, or its tables do not read.
    """
    from analysis.report.page import write_page  # matplotlib takes a second to import: only a report pays

    return write_page(run)


def page_of(run: RunDir) -> str:
    """What ``write_report`` would write for the tables that are there.

    Raises:
        TraceError: a table is not there, or does not read.
    """
    from analysis.report.page import render

    return render(run)
