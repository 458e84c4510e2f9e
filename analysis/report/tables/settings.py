"""The report's table of variants with settings of the engine of their own: what they are, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping

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
from traces.cell import CellRecord
from traces.layout import CellKey

_CACHED, _KEPT, _A_DRAFT = "prompt_cached_share", "draft_accepted_share", "tokens_per_draft"


def settings_table(results: Results, model: str, records: Mapping[CellKey, CellRecord]) -> TextTable:
    """Show variant x load: its engine arguments, prompt tokens from the cache, and drafted tokens that were kept."""
    given = {
        key.variant: record.served.engine_args
        for key, record in records.items()
        if key.model == model and record.served.engine_args
    }
    columns: Columns[Point] = (
        VARIANT,
        LOAD,
        ("settings of its own", lambda point: _words(given.get(point.variant, {}))),
        *each_of([_CACHED, _KEPT], share_of),
        *each_of([_A_DRAFT], mean_of),
    )
    return table_of(columns, [point for point in results.points_of(model) if _is_told(point, given)], 3)


def _is_told(point: Point, given: Mapping[str, object]) -> bool:
    return point.variant in given or bool(point.mean(_CACHED)) or point.mean(_KEPT) is not None


def _words(args: Mapping[str, object]) -> str:
    """As a variant's file has them, on one line."""
    return (
        ", ".join(f"{name}: {json.dumps(value).replace(chr(34), '')}" for name, value in args.items()) or "–"
    )
