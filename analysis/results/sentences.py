"""Sentences that say what figures show and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.contrasts.statistics import ROUNDING

Figures = Mapping[str, Any]


def effect_words(
    row: Figures, visible: Figures | None = None, holm: Figures | None = None, *, of: str = "", than: str = ""
) -> str:
    """Put a ratio to a reference into words: more, less, or no difference to be seen, and which one could have been.

    Where none can be seen, the interval's own ends are given, from the reference: it need not lie around 1.

    Args:
        row: the ratio, with ``lo`` and ``hi`` where it has an interval.
        visible: the smallest ratio that would have been seen.
        holm: its p after Holm's correction.
        of: what it costs more of, such as J/request.
        than: the reference.
    """
    blocks = f"{row['blocks']} block{'s' if row['blocks'] != 1 else ''}"
    if row["lo"] is None or row["hi"] is None:
        return f"costs {_cost(row['value'], of, than)} (no interval: {', '.join(row['reasons'])}; {blocks})"
    if row["lo"] <= 1 <= row["hi"]:
        between = (f" in {of}" if of else "") + (f" to {than}" if than else "")
        bounds = f"{percent(1 - row['lo'])} % less to {percent(row['hi'] - 1)} % more"
        return f"no difference{between} can be seen (95 %: {bounds}; {blocks}{_unseen(visible)})"
    cost, bounds = _cost(row["value"], of, than), " to ".join(_ends(row))
    return f"costs {cost} (95 %: {bounds}; {blocks}{_chance(holm)})"


def _cost(ratio: float, of: str, than: str) -> str:
    if abs(ratio - 1) < ROUNDING:
        return "as much" + (f" {of}" if of else "") + (f" as {than}" if than else "")
    change = f"{percent(ratio - 1)} % {'more' if ratio >= 1 else 'less'}"
    return change + (f" {of}" if of else "") + (f" than {than}" if than else "")


def _ends(row: Figures) -> list[str]:
    """The interval's ends in percent, smaller change first; with more digits where they would look the same."""
    ends = sorted(abs(row[end] - 1) for end in ("lo", "hi"))
    shown = [percent(end) for end in ends]
    return [f"{end * 100:.2f}" for end in ends] if shown[0] == shown[1] else shown


def percent(share: float) -> str:
    """A share as percent: whole from 10 on, one digit after the point below, two below a half."""
    value = abs(share) * 100
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.5 else f"{value:.2f}"


def _unseen(visible: Figures | None) -> str:
    if visible is None or visible["value"] is None:
        return ""
    return f"; less than {percent(visible['value'] - 1)} % would probably not have been seen"


def _chance(holm: Figures | None) -> str:
    if holm is None or holm["value"] is None or holm["value"] < 0.05:
        return ""
    return f"; by Holm over the whole family p = {holm['value']:.2f}, so it may be chance"
