"""The report's first sentence: what one request at a time costs, as far as intervals bear it out."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.results.headline import HeadlineLine, significant


def lead(lines: Sequence[HeadlineLine], *, estimated: bool) -> str | None:
    """The answer to the first question in one sentence, or None where nothing valid answers it.

    Its range is from the lowest to the highest end of the intervals that leave out 1; comparisons that see no
    difference, or that have no interval, are counted beside it. Where none has one, it is of estimates, and says so.

    Args:
        lines: of one model; those of other kinds than ``batched_vs_single`` are not looked at.
        estimated: the joules are modelled.
    """
    own = [one for one in lines if one.kind == "batched_vs_single" and one.value is not None]
    joules = f"{'estimated ' if estimated else ''}joules per request"
    bounded = [(one.lo, one.hi) for one in own if one.lo is not None and one.hi is not None]
    if not own:
        return None
    if not bounded:
        values = [one.value for one in own if one.value is not None]
        why = ", ".join(sorted({reason for one in own for reason in one.reasons}))
        span = _span(min(values), max(values))
        return (
            f"One request at a time costs {span} times the {joules} of the other loads ({_counted(len(own))}, "
            f"estimates without an interval: {why})."
        )
    more, less = [one for one in bounded if one[0] > 1], [one for one in bounded if one[1] < 1]
    unseen = len(bounded) - len(more) - len(less)
    beside = [f"in {unseen} no difference can be seen"] if unseen else []
    bare = len(own) - len(bounded)
    if bare:
        beside.append(f"{bare} {'has' if bare == 1 else 'have'} no interval")
    shown = more or less
    if not shown:
        return (
            f"Between one request at a time and the other loads no difference in {joules} can be seen "
            f"({'; '.join((_counted(unseen), *beside[1:]))})."
        )
    if more and less:
        beside.insert(0, f"in {len(less)} it costs less")
    span = _span(min(lo for lo, _ in shown), max(hi for _, hi in shown))
    ends = f"ends of the 95 % intervals of {_counted(len(shown))}"
    return f"One request at a time costs {span} times the {joules} of the other loads ({'; '.join((ends, *beside))})."


def _span(low: float, high: float) -> str:
    first, last = significant(low), significant(high)
    return first if first == last else f"between {first} and {last}"


def _counted(comparisons: int) -> str:
    return f"{comparisons} comparison{'s' if comparisons != 1 else ''}"
