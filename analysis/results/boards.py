"""What a limit of the boards saves, and what it costs in latency: a sentence a variant and load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from analysis.results.points import Contrast, Point, Results
from analysis.results.sentences import compared_words, mean_words, percent, significant
from traces.layout import board_of, load_asked

BOARDS = "Which power limit or clock takes the least?"
_NAMES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "end-to-end latency"}


def board_sentences(
    results: Results,
    model: str,
    slo_ms: Mapping[str, float],
    searched: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> list[str]:
    """Name, of each variant and load, the setting with the least joules a request, within its bounds if any.

    These are the study's, or those that a load has of its own (``searched``).
    """
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in results.points_of(model):
        if board_of(point.load) is not None:
            groups.setdefault((point.variant, load_asked(point.load)), []).append(point)
    told = (
        _sentence(results, points, searched.get(load, slo_ms))
        for (_, load), points in groups.items()
        if len(points) > 1
    )
    return [sentence for sentence in told if sentence is not None]


def bounds_words(slo_ms: Mapping[str, float]) -> str:
    """Put a study's bounds into words, such as ``TTFT up to 200 ms``."""
    return ", ".join(f"{_NAMES[name]} up to {seconds_words(ms)}" for name, ms in slo_ms.items())


def seconds_words(ms: float | None) -> str:
    """Say milliseconds as such, or as seconds where they are many; a dash for None."""
    if ms is None:
        return "–"
    return f"{significant(ms)} ms" if ms < 1000 else f"{significant(ms / 1000)} s"


def least_of(points: Sequence[Point], metric: str) -> Point | None:
    """Find the point with the least of a metric; None where none has it."""
    known = [(value, at) for at, point in enumerate(points) if (value := point.mean(metric)) is not None]
    return points[min(known)[1]] if known else None


def _sentence(results: Results, points: Sequence[Point], slo_ms: Mapping[str, float]) -> str | None:
    metric = "j_per_request_in_slo" if slo_ms else "j_per_request"
    best, first = least_of(points, metric), points[0]
    place = f"{first.variant} under {load_asked(first.load)}"
    if best is None:
        kept = f"no setting is known to have kept {bounds_words(slo_ms)} for any request"
        return f"{place}: {kept}" if slo_ms else None
    figure = f"{mean_words(best, metric, level='95 %: ')} {results.joules_words}"
    within = f" that kept {bounds_words(slo_ms)}" if slo_ms else ""
    parts = [f"{figure}{within}", *_beside(results, best)]
    share = best.mean("slo_share")
    if slo_ms and share is not None:
        parts.append(f"{percent(share)} % of its requests did")
    return f"{place}: {board_of(best.load)} takes the least of {len(points)} settings: {'; '.join(parts)}"


def _beside(results: Results, best: Point) -> Iterator[str]:
    """Yield what it costs against the reference, and both latencies."""
    against = results.of(best.model, "board_vs_reference")
    contrast: Contrast | None = next((pair for pair in against if pair.side == best.condition), None)
    if contrast is not None:
        than = str(board_of(contrast.reference_load))
        words = compared_words(contrast, "j_per_request_ratio", of=results.joules_words, than=than)
        yield from () if words is None else (words,)
    reference = None if contrast is None else results.point(contrast.reference)
    against_it = f" against {seconds_words(reference.mean('e2e_p50_ms'))}" if reference else ""
    yield f"median latency {seconds_words(best.mean('e2e_p50_ms'))}{against_it}"
