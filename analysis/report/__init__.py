"""The report: one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path

from traces.layout import RunDir

__all__ = ["write_report"]


def write_report(run: RunDir) -> Path:
    """Write ``report.html`` of ``run`` and return its path; the tables are made first where they are missing.

    Raises:
        TraceError: the run has no cell, or its tables do not read.
    """
    from analysis.report.page import write_page  # matplotlib takes a second to import: only a report pays

    return write_page(run)
