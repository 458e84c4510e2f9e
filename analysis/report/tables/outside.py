"""The report's table of answers by chat: how many of their tokens were no code, and what these cost."""

from __future__ import annotations

from analysis.metrics import metric
from analysis.opened import OpenedRun
from analysis.report.tables.table import Columns, TextTable, percent, table_of
from analysis.results.headline import significant
from analysis.results.points import Point, Results

_SHARE, _TOKENS = "tokens_outside_solution_share", "tokens_per_request"
_JOULES = ("j_per_request_outside_solution_phase", "j_per_request_outside_solution_tokens")


def outside_table(run: OpenedRun, results: Results, model: str) -> TextTable:
    """Variant x load of a study that asks by chat; empty of any other, and where no share is known."""
    columns: Columns[Point] = (
        ("variant", lambda point: point.variant),
        ("load", lambda point: point.load),
        (metric(_TOKENS).label, lambda point: significant(point.mean(_TOKENS))),
        (metric(_SHARE).label, lambda point: percent(point.mean(_SHARE))),
        *((metric(name).label, lambda point, name=name: significant(point.mean(name))) for name in _JOULES),
    )
    study = run.context.study
    by_chat = study is not None and study.endpoint == "chat"
    points = [
        point
        for point in results.points
        if by_chat and point.model == model and point.mean(_SHARE) is not None
    ]
    return table_of(columns, points, 2)
