"""What meters' own gains leave open, in sentences."""

from __future__ import annotations

from analysis.compare.gains import GainsBeside, half_widths, offset_half_w
from analysis.keys import MeterKey
from analysis.results.points import Results
from analysis.results.sentences import percent

_HELD = (
    "None of this is in the intervals. A gain is a factor and an offset in watts. The factor cancels in ratios within "
    "one device, and only there; the offset does not where the two sides draw different power."
)
_ONE_KIND = (
    "Two boards of one kind differ by themselves too: in public data one model at one speed took 1.15 to 1.62 times "
    "the joules on one of two cards sold under one name (energy-code-eval, A100-80 PCIe, 57 configurations, median "
    "1.42)."
)
_SHOWN = 3


def sensor_words(results: Results) -> list[str]:
    """Write a sentence a boundary and source, and what it means for the report; nothing where there is no power."""
    said = [_sensor(results, pair) for pair in results.pairs]
    measured = any(source != "modelled" for _, source in results.pairs)
    return [*said, _HELD, *_left_in_ratios(results)] if measured else said


def _left_in_ratios(results: Results) -> list[str]:
    """Of the ratios in which most is left open, what their meter's offset leaves."""
    halves = [
        (row["hi"] / row["lo"], contrast, metric.removesuffix("_gain"), row)
        for contrast in results.contrasts
        for metric, row in contrast.metrics.items()
        if metric in ("energy_factor_gain", "j_per_request_ratio_gain") and row["lo"] and row["hi"]
    ]
    halves.sort(key=lambda entry: -entry[0])
    return [
        f"{contrast.variant} at {contrast.load} against {contrast.reference_variant} at {contrast.reference_load}: "
        f"{metric} {row['value']:.3g}, of which the offset leaves {row['lo']:.3g} to {row['hi']:.3g} open."
        for _, contrast, metric, row in halves[:_SHOWN]
    ]


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
        f"{what}what is not known of its gain (true over shown joules) is ±{size} %{_watts(results, pair)}, by what "
        "public measurements of boards show or, where the study gives it, by comparison with a trusted meter "
        "(meters.gain)."
    )


def _watts(results: Results, pair: MeterKey) -> str:
    off_w = offset_half_w(results, pair)
    return "" if not off_w else f", an offset of up to {off_w:.3g} W among it"


def beside_words(gains: GainsBeside, names: tuple[str, str], pair: MeterKey) -> str:
    """Return what stands beside the ratios of a run's joules to the reference's."""
    reference, name = names
    if gains.same_boards:
        they_cancel = "gains cancel" if len(gains.boards[0]) > 1 else "gain cancels"
        off_w = gains.offset_half_w
        but = f" but for an offset (up to {off_w:.3g} W) where power differs" if off_w else ""
        where = ", ".join(gains.boards[0])
        return f"{name} was measured on {where} as {reference} was: the {they_cancel} in these ratios{but}."
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
    kind = f" {_ONE_KIND}" if gains.same_boards is False and gains.same_kind is not False else ""
    return f"{where} is in these ratios, and in none of the intervals: {_size(gains)}.{kind}"


def _size(gains: GainsBeside) -> str:
    if gains.together is None:
        return "how much that is, is not known"
    first, second = (percent(width or 0.0) for width in gains.half_widths)
    return f"up to {second} % and {first} %, together about ±{percent(gains.together)} %"
