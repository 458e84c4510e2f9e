"""Sentences that say what figures show and no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.contrasts.starts import THESE_STARTS
from analysis.contrasts.statistics import ROUNDING, RatioEstimate
from analysis.results.points import Contrast, Point

Figures = Mapping[str, Any]
_FACTOR = 2.0
"""From so many times on a change is no percentage that anyone pictures."""


class Doubted(str):
    """Hold a figure that is not valid: pages cross it out."""

    __slots__ = ()


def effect_words(
    row: Figures,
    visible: Figures | None = None,
    holm: Figures | None = None,
    *,
    of: str = "",
    than: str = "",
    verb: str = "costs",
) -> str:
    """Put a ratio to a reference into words: more, less, or no difference to be seen, and which one could have been.

    Where none can be seen, the interval's own ends are given, from the reference: it need not lie around 1. Of a single
    block nothing is said but what it came to.

    Args:
        row: the ratio, with ``lo`` and ``hi`` where it has an interval.
        visible: the smallest ratio that would have been seen.
        holm: its p after Holm's correction.
        of: what it costs more of, such as J/request.
        than: the reference.
        verb: what it does more of.
    """
    blocks = f"{row['blocks']} block{'s' if row['blocks'] != 1 else ''}"
    if row["lo"] is None or row["hi"] is None:
        return _without_interval(row, _cost(row["value"], of, than), verb, blocks)
    level = "95 % for these engine starts" if row.get("interval_kind") == THESE_STARTS else "95 %"
    if row["lo"] <= 1 <= row["hi"]:
        between = (f" in {of}" if of else "") + (f" to {than}" if than else "")
        return f"no difference{between} can be seen ({level}: {_around_1(row)}; {blocks}{_unseen(visible)})"
    cost, bounds = _cost(row["value"], of, than), " to ".join(_ends(row))
    return f"{verb} {cost} ({level}: {bounds}; {blocks}{_chance(holm)})"


def _without_interval(row: Figures, cost: str, verb: str, blocks: str) -> str:
    why = ", ".join(row["reasons"])
    if row["blocks"] == 1:
        return f"{cost} in the one block there is, so nothing can be said ({why})"
    return f"{verb} {cost} (no interval: {why}; {blocks})"


def _around_1(row: Figures) -> str:
    """Return an interval that holds 1: in percent, or as factors where an end is twice the reference, or half of it."""
    if row["lo"] <= 1 / _FACTOR or row["hi"] >= _FACTOR:
        return f"{significant(row['lo'])} to {significant(row['hi'])} times"
    return f"{percent(1 - row['lo'])} % less to {percent(row['hi'] - 1)} % more"


def compared_words(contrast: Contrast, name: str, *, of: str, than: str, verb: str = "costs") -> str | None:
    """Say a contrast's ratio as ``effect_words`` does, with what its family makes of it; None where it has no value."""
    row = contrast.metrics.get(name)
    if row is None or row["value"] is None:
        return None
    visible, holm = (contrast.metrics.get(f"{name}_{part}") for part in ("smallest_visible", "p_holm"))
    return effect_words(row, visible, holm, of=of, than=than, verb=verb)


def saved_words(rows: Sequence[Figures], *, of: str, estimated: bool) -> str:
    """Return what batching saves in one sentence, as far as intervals bear it out, without a full stop.

    Its range is from the lowest to the highest end of the intervals that leave out 1; comparisons that see no
    difference, or that have no interval, are counted beside it. Where none has one, it is of estimates, and says so.

    Args:
        rows: factors of one request at a time over the load, each with a value.
        of: the load, such as ``64 in flight``.
        estimated: the joules are modelled.
    """
    more, less, unseen, bare = ([row for row in rows if _verdict(row) == kind] for kind in range(4))
    joules = f"{'estimated ' * estimated}joules per request"
    if shown := more or less:
        low, high = min(row["lo"] for row in shown), max(row["hi"] for row in shown)
        notes = "; ".join((_counted(shown), *_notes(less if more else [], unseen, bare)))
        return f"{_saving(low, high, joules, of)} (ends of the 95 % intervals of {notes})"
    if unseen:
        notes = "; ".join((_counted(unseen), *_notes([], [], bare)))
        return f"Between one request at a time and {of} no difference in {joules} can be seen ({notes})"
    why = ", ".join(sorted({reason for row in bare for reason in row["reasons"]}))
    values = [row["value"] for row in bare]
    notes = f"{_counted(bare)}, without an interval: {why}"
    if all(row["blocks"] == 1 for row in bare):
        notes = f"{_counted(bare)} in the one block there is, so nothing can be said: {why}"
    return f"{_saving(min(values), max(values), joules, of)} ({notes})"


def _saving(low: float, high: float, joules: str, of: str) -> str:
    factor = _span(significant(low), significant(high), "between ")
    times = f"one request at a time costs {factor} times those of {of}"
    if low > 1:
        return (
            f"Batching saves {_span(percent(1 - 1 / low), percent(1 - 1 / high))} % of the {joules}: {times}"
        )
    if high < 1:
        return f"Batching does not save {joules}: {times}"
    return f"Of {joules}, {times}"


def _span(first: str, last: str, before: str = "") -> str:
    return first if first == last else f"{before}{first} {'and' if before else 'to'} {last}"


def _verdict(row: Figures) -> int:
    if row["lo"] is None or row["hi"] is None:
        return 3
    return 0 if row["lo"] > 1 else 1 if row["hi"] < 1 else 2


def _notes(less: Sequence[Figures], unseen: Sequence[Figures], bare: Sequence[Figures]) -> list[str]:
    """Return what is counted beside the comparisons that a sentence is of."""
    notes = []
    if less:
        notes.append(f"in {len(less)} it costs less")
    if unseen:
        notes.append(f"in {len(unseen)} no difference can be seen")
    if bare:
        notes.append(f"{len(bare)} {'has' if len(bare) == 1 else 'have'} no interval")
    return notes


def _counted(rows: Sequence[Figures]) -> str:
    return f"{len(rows)} variant{'s' if len(rows) != 1 else ''}"


def _cost(ratio: float, of: str, than: str) -> str:
    if abs(ratio - 1) < ROUNDING:
        return "as much" + (f" {of}" if of else "") + (f" as {than}" if than else "")
    change = f"{percent(ratio - 1)} % {'more' if ratio >= 1 else 'less'}"
    return change + (f" {of}" if of else "") + (f" than {than}" if than else "")


def _ends(row: Figures) -> list[str]:
    """Return the interval's ends in percent, smaller change first; with more digits where they would look the same."""
    ends = sorted(abs(row[end] - 1) for end in ("lo", "hi"))
    shown = [percent(end) for end in ends]
    return [f"{end * 100:.2f}" for end in ends] if shown[0] == shown[1] else shown


def significant(value: float | None, digits: int = 3) -> str:
    """Write ``value`` to so many significant digits, without an exponent between 1e-4 and 1e6; a dash for None."""
    if value is None:
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    text = f"{value:#.{digits}g}".rstrip(".")
    return f"{float(text):,.0f}".replace(",", "\N{NO-BREAK SPACE}") if "e" in text else text


def with_bounds(value: float | None, lo: float | None, hi: float | None, *, level: str = "") -> str:
    """Write ``3.4 (3.1 to 4.2)``, with ``level`` before the interval.

    The value stands alone where there is no interval, or it is a single point.
    """
    text = significant(value)
    return (
        text
        if lo is None or hi is None or math.isclose(lo, hi)
        else f"{text} ({level}{significant(lo)} to {significant(hi)})"
    )


def mean_words(point: Point, name: str, *, level: str = "") -> str:
    """Write the mean of a metric over blocks with its interval, as ``with_bounds`` does."""
    return with_bounds(point.mean(name), *(point.interval(name) or (None, None)), level=level)


def row_words(row: Mapping[str, Any]) -> str:
    """Write the value of a table's row with its interval; a dash for a row without any."""
    return with_bounds(row.get("value"), row.get("lo"), row.get("hi"))


def ratio_words(estimate: RatioEstimate, shown: Callable[[float], str] = significant) -> str:
    """Return a ratio with its interval; its reasons where there is none."""
    if estimate.ratio is None:
        return ", ".join(estimate.reasons)
    if estimate.lo is None or estimate.hi is None:
        return f"{shown(estimate.ratio)} ({', '.join(estimate.reasons)})"
    return f"{shown(estimate.ratio)} ({shown(estimate.lo)} to {shown(estimate.hi)})"


def percent(share: float) -> str:
    """Return a share as percent: whole from 10 on, one digit after the point below, two below a half."""
    value = abs(share) * 100
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.5 else f"{value:.2f}"


def _unseen(visible: Figures | None) -> str:
    if visible is None or visible["value"] is None:
        return ""
    least = visible["value"]
    size = f"a factor of {significant(least)}" if least >= _FACTOR else f"{percent(least - 1)} %"
    return f"; a difference below {size} would probably not have been found"


def _chance(holm: Figures | None) -> str:
    if holm is None or holm["value"] is None or holm["value"] < 0.05:
        return ""
    return f"; by Holm over the whole family p = {holm['value']:.2f}, so it may be chance"
