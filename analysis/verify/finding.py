"""Define what ``starwatt verify`` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that a reader of the report would be misled by, that does not fit, or that could not be checked.

    ``kind`` is one of invalid_cell, table_differs, report_differs, record_differs, grades_differ, plan_differs,
    not_graded, trace_damaged, not_measured, not_checked.
    """

    kind: str
    where: str
    what: str
