"""What meters' own gains leave open, in sentences."""

from __future__ import annotations

from analysis.compare.gains import GainsBeside, half_widths
from analysis.keys import MeterKey
from analysis.results.points import Results
from analysis.results.sentences import percent

_HELD = (
    "None of this is in the intervals. It is the same in all that one device measured, so it cancels in ratios within "
    "one device, and only there: joules by themselves, and ratios to another machine's, hold it."
)


def sensor_words(results: Results) -> list[str]:
    """A sentence a boundary and source, and what it means for what is reported; nothing where there is no power."""
    said = [_sensor(results, pair) for pair in results.pairs]
    measured = any(source != "modelled" for _, source in results.pairs)
    return [*said, _HELD] if measured else said


def _sensor(results: Results, pair: MeterKey) -> str:
    what = f"{pair[0]}, by {pair[1]}: "
    if pair[1] == "modelled":
        return f"{what}no sensor measured this, so there is no gain to be known."
    known = half_widths(results, pair)
    if known is None:
        return f"{what}how far its joules are from true ones is not known."
    least, most = map(percent, known)
    size = most if least == most else f"{least} to {most}"
    return (
        f"{what}what is not known of its gain (true over shown joules) is ±{size} %, by what boards differ or, where "
        "the study gives it, by comparison with a trusted meter (meters.gain)."
    )


def beside_words(gains: GainsBeside, names: tuple[str, str], pair: MeterKey) -> str:
    """What stands beside the ratios of a run's joules to the reference's."""
    reference, name = names
    if gains.same_boards:
        own = "gains cancel" if len(gains.boards[0]) > 1 else "gain cancels"
        return f"{name} was measured on {', '.join(gains.boards[0])} as {reference} was: the {own} in these ratios."
    if gains.same_boards is None:
        where = (
            f"Whether {name} was measured by the same {pair[0]} as {reference} is not known. If it was not, how far "
            "each of the two is from true joules (its gain)"
        )
    else:
        other, first = (", ".join(gains.boards[k]) for k in (1, 0))
        where = (
            f"{name} was measured on {other}, {reference} on {first}. How far each board's sensor is from true joules "
            "(its gain)"
        )
    return f"{where} is in these ratios, and in none of the intervals: {_size(gains)}."


def _size(gains: GainsBeside) -> str:
    if gains.together is None:
        return "how much that is, is not known"
    first, second = (percent(one or 0.0) for one in gains.half_widths)
    return f"up to {second} % and {first} %, together about ±{percent(gains.together)} %"
