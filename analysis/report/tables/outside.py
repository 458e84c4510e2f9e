"""The report's table of answers by chat: how many of their tokens were no code, and what these cost."""

from __future__ import annotations

from analysis.opened import OpenedRun
from analysis.report.tables.table import (
    LOAD,
    VARIANT,
    Columns,
    TextTable,
    each_of,
    mean_of,
    share_of,
    table_of,
)
from analysis.results.points import Point, Results

_SHARE, _TOKENS = "tokens_outside_solution_share", "tokens_per_request"
_JOULES = ("j_per_request_outside_solution_phase", "j_per_request_outside_solution_tokens")


def outside_table(run: OpenedRun, results: Results, model: str) -> TextTable:
    """Show variant x load of a study that asks by chat; empty of any other, and where no share is known."""
    columns: Columns[Point] = (
        VARIANT,
        LOAD,
        *each_of([_TOKENS], mean_of),
        *each_of([_SHARE], share_of),
        *each_of(_JOULES, mean_of),
    )
    study = run.context.study
    by_chat = study is not None and study.endpoint == "chat"
    points = [point for point in results.points_of(model) if by_chat and point.mean(_SHARE) is not None]
    return table_of(columns, points, 2)
