"""What speculation drafted within a window, and how much of it was kept."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from analysis.cells.rows import Rows, ratio
from analysis.requests.window import Window, rise_of


@dataclass(frozen=True)
class Drafts:
    """Counts of a window, by the engine's counters."""

    drafts: float  # steps of a request that had a draft
    drafted: float  # tokens of them
    accepted: float  # of these, tokens that were kept


def drafts_in(engine: pa.Table | None, window: Window) -> Drafts | None:
    """Read what was drafted; None where nobody read the engine's counters, or it has none of these."""
    if engine is None:
        return None
    drafts, drafted, accepted = (
        rise_of(engine, name, window)
        for name in ("drafts_total", "drafted_tokens_total", "accepted_tokens_total")
    )
    return (
        None if drafts is None or drafted is None or accepted is None else Drafts(drafts, drafted, accepted)
    )


def draft_rows(rows: Rows, drafts: Drafts | None, reasons: list[str]) -> None:
    """Add the share of drafted tokens that were kept, and tokens a draft; nothing where nothing speculates."""
    if drafts is None:
        return
    kept = ratio(drafts.accepted, drafts.drafts)
    rows.add("draft_accepted_share", ratio(drafts.accepted, drafts.drafted), reasons)
    rows.add("tokens_per_draft", None if kept is None else 1 + kept, reasons)
