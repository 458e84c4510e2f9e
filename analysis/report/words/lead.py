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
    of_others = f"times the {'estimated ' * estimated}joules per request of the other loads"
    if shown := more or less:
        span = _span([one.lo for one in shown], [one.hi for one in shown])
        notes = "; ".join((_counted(shown), *_notes(less if more else [], unseen, bare)))
        return f"One request at a time costs {span} {of_others} (ends of the 95 % intervals of {notes})."
    if unseen:
        notes = "; ".join((_counted(unseen), *_notes([], [], bare)))
        joules = f"{'estimated ' * estimated}joules per request"
        return f"Between one request at a time and the other loads no difference in {joules} can be seen ({notes})."
    return _of_estimates(bare, of_others) if bare else None


def _notes(
    less: Sequence[HeadlineLine], unseen: Sequence[HeadlineLine], bare: Sequence[HeadlineLine]
) -> list[str]:
    """What is counted beside the comparisons that a sentence is of."""
    notes = []
    if less:
        notes.append(f"in {len(less)} it costs less")
    if unseen:
        notes.append(f"in {len(unseen)} no difference can be seen")
    if bare:
        notes.append(f"{len(bare)} {'has' if len(bare) == 1 else 'have'} no interval")
    return notes


def _of_estimates(bare: Sequence[HeadlineLine], of_others: str) -> str:
    values = [one.value for one in bare]
    why = ", ".join(sorted({reason for one in bare for reason in one.reasons}))
    return (
        f"One request at a time costs {_span(values, values)} {of_others} "
        f"({_counted(bare)}, estimates without an interval: {why})."
    )


def _verdict(one: HeadlineLine) -> int:
    if one.lo is None or one.hi is None:
        return _BARE
    return _MORE if one.lo > 1 else _LESS if one.hi < 1 else _UNSEEN


def _span(lows: Sequence[float | None], highs: Sequence[float | None]) -> str:
    first, last = significant(min(filter(None, lows))), significant(max(filter(None, highs)))
    return first if first == last else f"between {first} and {last}"


def _counted(comparisons: Sequence[HeadlineLine]) -> str:
    return f"{len(comparisons)} comparison{'s' if len(comparisons) != 1 else ''}"
