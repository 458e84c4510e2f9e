"""The three questions that a run answers: what batching saves, what a variant costs and keeps, what is best."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from analysis.keys import Condition
from analysis.opened import OpenedRun
from analysis.results.boards import BOARDS, board_sentences, bounds_words, seconds_words
from analysis.results.points import Contrast, Point, Results
from analysis.results.rates import RATE, RATES, Bounds, rate_sentences
from analysis.results.sentences import compared_words, mean_words, percent, saved_words, significant
from traces.layout import load_asked

BATCHING, VARIANTS, BEST, MODELS = (
    "What does batching save?",
    "What does each variant cost, and what does it keep?",
    "What is best?",
    "Which model takes the least?",
)
_PASSED = "pass_at_1_plus"
ANSWERED_BY = frozenset(
    {"j_per_request", "j_per_request_in_slo", "slo_share", "e2e_p50_ms", "window_s", _PASSED, RATE}
)
"""The figures of cells that are in the answers, and in the headline."""
NO_SEARCH: Bounds = MappingProxyType({})
Concurrency = Callable[[str], int | None]
"""Requests in flight, by load; None: it keeps no number of them."""


@dataclass(frozen=True)
class Answer:
    """A question and what the run says to it, a sentence or, of several variants, one each; without a full stop."""

    question: str
    sentences: tuple[str, ...]


def answers_in(run: OpenedRun, results: Results, model: str) -> tuple[Answer, ...]:
    """Answer for one model of a run, by what its study says of loads and bounds."""
    context = run.context
    return answers_of(results, model, context.concurrency, context.slo_ms, context.searched)


def answer_between(run: OpenedRun, results: Results) -> Answer | None:
    """Set the models of a run beside each other, within its study's bounds; None of a single one."""
    return between_models(results, run.context.slo_ms, run.context.searched)


def answers_of(
    results: Results,
    model: str,
    concurrency: Concurrency,
    slo_ms: Mapping[str, float] | None = None,
    searched: Bounds = NO_SEARCH,
) -> tuple[Answer, ...]:
    """Answer for one model; a question that the run did not ask is left out.

    Args:
        results: of an analysed run.
        model: one of its models.
        concurrency: requests in flight by load; batching is what closed loads show, and they alone.
        slo_ms: the study's bounds, by ``ttft``, ``tpot`` and ``e2e``; None or empty: it names none.
        searched: the bounds of loads that look for their rate, by load.
    """
    batching = _batching(results, model, concurrency)
    variants = _variants(results, model, concurrency)
    rates = rate_sentences(results, model, searched)
    boards = board_sentences(results, model, slo_ms or {}, searched)
    best = _best(results, model, slo_ms or {}, _of_other_bounds(searched, slo_ms))
    answers = [
        Answer(BATCHING, (batching,)) if batching else None,
        Answer(VARIANTS, tuple(variants)) if variants else None,
        Answer(RATES, tuple(rates)) if rates else None,
        Answer(BOARDS, tuple(boards)) if boards else None,
        Answer(BEST, (best,)) if best else None,
    ]
    return tuple(answer for answer in answers if answer is not None)


def between_models(
    results: Results, slo_ms: Mapping[str, float] | None = None, searched: Bounds = NO_SEARCH
) -> Answer | None:
    """Set the models of a run beside each other, each by its best variant and load, the least first; None of one alone.

    Joules are for a solved task where any was graded. Models have no contrast: whose intervals lie apart is for the
    reader to see.
    """
    if len(results.models) < 2:
        return None
    metric = "j_per_request_in_slo" if slo_ms else "j_per_request"
    left_out = _of_other_bounds(searched, slo_ms)
    best = {model: _least(_points(results, model, left_out), metric) for model in results.models}
    known = {model: point for model, point in best.items() if point is not None}
    order = sorted(known, key=lambda model: _rank(known[model], metric))
    said = [f"{model}: {_of_a_model(results, known[model], metric)}" for model in order]
    said += [
        f"{model}: {_why_none(_points(results, model, left_out), slo_ms)}"
        for model in results.models
        if model not in known
    ]
    return Answer(MODELS, tuple(said)) if known else None


def _rank(point: Point, metric: str) -> tuple[bool, float, str]:
    """Rank by joules for a solved task; behind these what nobody graded, by joules for a request."""
    return not point.mean(_PASSED), _for_a_task(point, metric), point.model


def _why_none(points: Sequence[Point], slo_ms: Mapping[str, float] | None) -> str:
    """Say of a model why no variant and load has joules and a solved task."""
    if slo_ms:
        return f"nothing is known to have kept {bounds_words(slo_ms)} and solved a task"
    if any(point.mean(_PASSED) for point in points) or all(point.mean(_PASSED) is None for point in points):
        return "its joules are not known"
    return "solved no task"


def _of_other_bounds(searched: Bounds, slo_ms: Mapping[str, float] | None) -> frozenset[str]:
    """Name the loads that look for their rate within other bounds than the study's."""
    return frozenset(load for load, bounds in searched.items() if slo_ms and bounds != slo_ms)


def _points(results: Results, model: str, left_out: Collection[str]) -> list[Point]:
    return [point for point in results.points_of(model) if load_asked(point.load) not in left_out]


def _of_a_model(results: Results, point: Point, metric: str) -> str:
    passed = point.mean(_PASSED)
    joules = f"{'estimated ' * results.estimated}J"
    words = f"{mean_words(point, metric, level='95 %: ')} {joules}/request by {_place(point.condition)}"
    if not passed:
        return words
    kind = " of memorised tasks" if point.model in results.memorised else ""
    return f"{significant(_for_a_task(point, metric))} {joules} a solved task: {words}, pass@1{kind} {passed:.2f}"


def _for_a_task(point: Point, metric: str) -> float:
    """Return the joules of a request over the share of tasks that were solved, where any was."""
    return (point.mean(metric) or 0.0) / (point.mean(_PASSED) or 1.0)


def _batching(results: Results, model: str, concurrency: Concurrency) -> str | None:
    """Of each variant the closed load with most in flight against one request at a time."""
    most: dict[str, tuple[int, Contrast]] = {}
    for contrast in results.at_reference(results.of(model, "batched_vs_single")):
        number = concurrency(contrast.load)
        if (
            number is not None
            and contrast.value("energy_factor") is not None
            and number > most.get(contrast.variant, (1,))[0]
        ):
            most[contrast.variant] = number, contrast
    if not most:
        return None
    numbers = sorted({number for number, _ in most.values()})
    of = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    rows = [contrast.metrics["energy_factor"] for _, contrast in most.values()]
    return saved_words(rows, of=f"{of} in flight", estimated=results.estimated)


def _variants(results: Results, model: str, concurrency: Concurrency) -> list[str]:
    """Return a sentence a variant: J/request and pass@1 against the baseline, at one in flight and at the most."""
    by_variant: dict[str, list[Contrast]] = {}
    for contrast in results.at_reference(results.of(model, "variant_vs_baseline")):
        by_variant.setdefault(contrast.variant, []).append(contrast)
    return [_variant(results, name, _ends(contrasts, concurrency)) for name, contrasts in by_variant.items()]


def _ends(contrasts: Sequence[Contrast], concurrency: Concurrency) -> list[tuple[str, Contrast]]:
    """Return the contrasts at the least and at the most in flight, named; the last load's where none keeps a number."""
    valid = [contrast for contrast in contrasts if contrast.value("j_per_request_ratio") is not None] or list(
        contrasts
    )
    numbered = sorted(
        ((number, contrast) for contrast in valid if (number := concurrency(contrast.load)) is not None),
        key=lambda pair: pair[0],
    )
    chosen = [numbered[0], numbered[-1]] if len(numbered) > 1 else numbered
    named = [
        ("one at a time" if number == 1 else f"at {number} in flight", contrast)
        for number, contrast in chosen
    ]
    return named or [(f"under {valid[-1].load}", valid[-1])]


def _variant(results: Results, name: str, ends: Sequence[tuple[str, Contrast]]) -> str:
    said = []
    for k, (when, contrast) in enumerate(ends):
        than, metric = contrast.reference_variant, "j_per_request_ratio"
        words = compared_words(contrast, metric, of=results.joules_words, than=than if k == 0 else "")
        words = words or f"no valid comparison with {than} ({contrast.why(metric)})"
        said.append(f"{when} {words}" if words.startswith("costs") else f"{when}: {words}")
    return f"{name}: {'; '.join(said)}; {_kept(results, [contrast for _, contrast in ends])}"


def _kept(results: Results, ends: Sequence[Contrast]) -> str:
    """pass@1 at the most in flight, and its difference to the baseline's."""
    for contrast in reversed(ends):
        sides = [results.point(side) for side in (contrast.side, contrast.reference)]
        passed, reference = (point.mean(_PASSED) if point else None for point in sides)
        if passed is not None and reference is not None:
            kind = " of memorised tasks" if contrast.model in results.memorised else ""
            return f"pass@1{kind} {passed:.2f} against {reference:.2f}{_difference(results, contrast)}"
    return "pass@1 not known"


def _difference(results: Results, contrast: Contrast) -> str:
    accuracies = (
        other for other in results.of(contrast.model, "accuracy_vs_baseline") if other.side == contrast.side
    )
    row = next((other.metrics.get("pass_at_1_plus_difference") for other in accuracies), None)
    if row is None or row["value"] is None or row["lo"] is None or row["hi"] is None:
        return ""
    lo, hi = row["lo"], row["hi"]
    if lo <= 0 <= hi:
        return f" (no difference can be seen, 95 %: {abs(lo):.2f} less to {hi:.2f} more)"
    low, high = sorted((abs(lo), abs(hi)))
    change = f"{abs(row['value']):.2f} {'less' if hi < 0 else 'more'}"
    return f", {change} (95 %: {low:.2f} to {high:.2f})"


def _best(
    results: Results, model: str, slo_ms: Mapping[str, float], left_out: Collection[str] = ()
) -> str | None:
    """Return the least joules for a solved task, or for a request where none was graded; within the study's bounds.

    ``left_out`` are loads with other bounds of their own.
    """
    points = _points(results, model, left_out)
    metric = "j_per_request_in_slo" if slo_ms else "j_per_request"
    if len(points) < 2:
        return None
    best, known = _least(points, metric), sum(point.mean(metric) is not None for point in points)
    valid = "all" if known == len(points) else f"the {known} of {len(points)} whose joules are known"
    bounds = bounds_words(slo_ms)
    if best is None or (known < 2 and not slo_ms):
        return f"No variant and load is known to have kept {bounds} for any request" if slo_ms else None
    passed, share = best.mean(_PASSED), best.mean("slo_share")
    least = "least joules per solved task" if passed else "least joules per request"
    within = f"within {bounds}" if slo_ms else f"of {valid} (no latency bound was set)"
    joules = f"{mean_words(best, metric, level='95 %: ')} {results.joules_words}"
    parts = [f"{joules}{' that kept them' if slo_ms else ''}"]
    parts += [f"{percent(share)} % of its requests did"] if slo_ms and share is not None else []
    parts += [f"pass@1 {passed:.2f}"] if passed else []
    parts += [f"median latency {seconds_words(best.mean('e2e_p50_ms'))}"]
    return f"{_place(best.condition)} takes the {least} {within}: {', '.join(parts)}"


def _least(points: Sequence[Point], metric: str) -> Point | None:
    """Find the least by joules for a request over the share of tasks that were solved, where any was graded."""
    graded = any(point.mean(_PASSED) is not None for point in points)
    known = []
    for k, point in enumerate(points):
        joules, solved = point.mean(metric), point.mean(_PASSED) if graded else 1.0
        if joules is not None and solved:
            known.append((joules / solved, k))
    return points[min(known)[1]] if known else None


def _place(condition: Condition) -> str:
    return f"{condition.variant} under {condition.load}"
