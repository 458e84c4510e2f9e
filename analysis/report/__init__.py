"""One self-contained HTML page from a run's tables and traces."""

from analysis.report.page import write_report

__all__ = ["write_report"]
