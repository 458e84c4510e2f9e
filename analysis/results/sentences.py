"""Sentences that say what figures show and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.contrasts.statistics import ROUNDING

Figures = Mapping[str, Any]


def effect_words(
    row: Figures, visible: Figures | None = None, holm: Figures | None = None, *, of: str = "", than: str = ""
) -> str:
    """What a ratio to a reference says: more, less, or that no difference can be seen, and which one could have been.

    Where none can be seen, the interval's own ends are given, from the reference: it need not lie around 1.

    Args:
        row: the ratio, with ``lo`` and ``hi`` where it has an interval.
        visible: the smallest ratio that would have been seen.
        holm: its p after Holm's correction.
        of: what it costs more of, such as J/request.
        than: the reference.
    """
    ratio, lo, hi = row["value"], row["lo"], row["hi"]
    blocks = f"{row['blocks']} block{'s' if row['blocks'] != 1 else ''}"
    what = (f" {of}" if of else "") + (f" than {than}" if than else "")
    if lo is None or hi is None:
        cost = f"{_change(ratio)}{what}"
        if abs(ratio - 1) < ROUNDING:
            cost = "as much" + (f" {of}" if of else "") + (f" as {than}" if than else "")
        return f"costs {cost} (no interval: {', '.join(row['reasons'])}; {blocks})"
    if lo <= 1 <= hi:
        between = (f" in {of}" if of else "") + (f" to {than}" if than else "")
        bounds = f"{percent(1 - lo)} % less to {percent(hi - 1)} % more"
        return f"no difference{between} can be seen (95 %: {bounds}; {blocks}{_unseen(visible)})"
    first, last = (lo - 1, hi - 1) if ratio > 1 else (1 - hi, 1 - lo)
    ends = [percent(first), percent(last)]
    if ends[0] == ends[1]:
        ends = [f"{end * 100:.2f}" for end in (first, last)]
    text = f"costs {_change(ratio)}{what} (95 %: {ends[0]} to {ends[1]}; {blocks}"
    adjusted = None if holm is None else holm["value"]
    if adjusted is not None and adjusted >= 0.05:
        text += f"; by Holm over the whole family p = {adjusted:.2f}, so it may be chance"
    return text + ")"


def percent(share: float) -> str:
    """A share as percent: whole from 10 on, one digit after the point below, two below a half."""
    value = abs(share) * 100
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.5 else f"{value:.2f}"


def _change(ratio: float) -> str:
    return f"{percent(ratio - 1)} % {'more' if ratio >= 1 else 'less'}"


def _unseen(visible: Figures | None) -> str:
    if visible is None or visible["value"] is None:
        return ""
    return f"; less than {percent(visible['value'] - 1)} % would probably not have been seen"
