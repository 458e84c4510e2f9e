"""The report's first sentence: what one request at a time costs, as far as intervals bear it out."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.results.headline import HeadlineLine, significant

_MORE, _LESS, _UNSEEN, _BARE = range(4)


def lead(lines: Sequence[HeadlineLine], *, estimated: bool) -> str | None:
    """The answer to the first question in one sentence, or None where nothing valid answers it.

    Its range is from the lowest to the highest end of the intervals that leave out 1; comparisons that see no
    difference, or that have no interval, are counted beside it. Where none has one, it is of estimates, and says so.

    Args:
        lines: of one model; those of other kinds than ``batched_vs_single`` are not looked at.
        estimated: the joules are modelled.
    """
    own = [one for one in lines if one.kind == "batched_vs_single" and one.value is not None]
    more, less, unseen, bare = ([one for one in own if _verdict(one) == kind] for kind in range(4))
    joules = f"{'estimated ' if estimated else ''}joules per request"
    notes = [f"in {len(less)} it costs less"] * bool(more and less)
    notes += [f"in {len(unseen)} no difference can be seen"] * bool(unseen and (more or less))
    notes += [f"{len(bare)} {'has' if len(bare) == 1 else 'have'} no interval"] * bool(bare)
    if shown := more or less:
        span = _span([one.lo or 0.0 for one in shown], [one.hi or 0.0 for one in shown])
        told = "; ".join((f"ends of the 95 % intervals of {_counted(shown)}", *notes))
        return f"One request at a time costs {span} times the {joules} of the other loads ({told})."
    if unseen:
        return (
            f"Between one request at a time and the other loads no difference in {joules} can be seen "
            f"({'; '.join((_counted(unseen), *notes))})."
        )
    if bare:
        values = [one.value or 0.0 for one in bare]
        why = ", ".join(sorted({reason for one in bare for reason in one.reasons}))
        return (
            f"One request at a time costs {_span(values, values)} times the {joules} of the other loads "
            f"({_counted(bare)}, estimates without an interval: {why})."
        )
    return None


def _verdict(one: HeadlineLine) -> int:
    if one.lo is None or one.hi is None:
        return _BARE
    return _MORE if one.lo > 1 else _LESS if one.hi < 1 else _UNSEEN


def _span(lows: Sequence[float], highs: Sequence[float]) -> str:
    first, last = significant(min(lows)), significant(max(highs))
    return first if first == last else f"between {first} and {last}"


def _counted(comparisons: Sequence[HeadlineLine]) -> str:
    return f"{len(comparisons)} comparison{'s' if len(comparisons) != 1 else ''}"
