"""What a run answers goes no further than its figures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from analysis.keys import MeterKey
from analysis.results.answers import BATCHING, BEST, MODELS, VARIANTS, answers_of, between_models
from analysis.results.points import Contrast, Point, Results
from analysis.results.sentences import saved_words

IN_FLIGHT: Mapping[str, int] = {"single-stream": 1, "closed-8": 8, "closed-64": 64}


def row(value: float | None, lo: float | None = None, hi: float | None = None, *why: str) -> dict[str, Any]:
    """A row of ``tables/contrasts``."""
    return {"value": value, "lo": lo, "hi": hi, "blocks": 3, "reasons": why}


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<![\w.-])\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize(
    ("rows", "said", "counted"),
    [
        (
            [row(3.4, 3.1, 4.2), row(2.0, 1.6, 2.5), row(1.02, 0.9, 1.2)],
            [38, 76, 1.60, 4.20],
            "in 1 no difference",
        ),
        ([row(3.4, 3.1, 4.2), row(0.8, 0.7, 0.9)], [68, 76, 3.10, 4.20], "in 1 it costs less"),
        (
            [row(3.4, 3.1, 4.2), row(9.0, None, None, "too_few_blocks")],
            [68, 76, 3.10, 4.20],
            "1 has no interval",
        ),
        ([row(0.8, 0.7, 0.9)], [0.700, 0.900], "does not save"),
        (
            [row(1.3, 0.9, 1.8), row(2.0, None, None, "too_few_blocks")],
            [],
            "no difference in joules per request",
        ),
        (
            [{**row(2.5, None, None, "too_few_blocks"), "blocks": 1}],
            [60, 2.50],
            "1 variant in the one block there is, so nothing can be said",
        ),
        ([row(2.5, None, None, "one_engine_start")], [60, 2.50], "without an interval: one_engine_start"),
    ],
)
def test_what_batching_saves_goes_no_further_than_the_intervals(
    rows: list[dict[str, Any]], said: list[float], counted: str
) -> None:
    words = saved_words(rows, of="many in flight", estimated=False)
    assert counted in words
    assert numbers(words)[: len(said)] == pytest.approx(said)
    assert "estimated" not in words
    assert "estimated joules" in saved_words(rows, of="many in flight", estimated=True)


def point(variant: str, load: str, joules: float, **more: float) -> Point:
    values = {"j_per_request": joules, "e2e_p50_ms": 200.0} | more
    return Point("m", variant, load, 3, {name: (value,) for name, value in values.items()}, {})


def contrast(kind: str, variant: str, load: str, **metrics: dict[str, Any]) -> Contrast:
    reference = (variant, "single-stream") if kind == "batched_vs_single" else ("bf16", load)
    return Contrast("m", kind, variant, reference[0], load, reference[1], metrics)


def results(points: list[Point], contrasts: list[Contrast]) -> Results:
    return Results(MeterKey("gpu", "nvml"), (), tuple(points), tuple(contrasts), ())


def test_open_loads_are_no_part_of_what_batching_saves_and_the_most_in_flight_is() -> None:
    rows = [
        contrast("batched_vs_single", "bf16", "closed-8", energy_factor=row(4.0, 3.9, 4.1)),
        contrast("batched_vs_single", "bf16", "closed-64", energy_factor=row(20.0, 19.0, 21.0)),
        contrast("batched_vs_single", "bf16", "open-1-poisson", energy_factor=row(0.5, 0.4, 0.6)),
    ]
    (answer,) = answers_of(results([], rows), "m", IN_FLIGHT.get)
    assert answer.question == BATCHING
    assert "of 64 in flight" in answer.sentences[0]
    assert "between 19.0 and 21.0 times" in answer.sentences[0]
    assert answers_of(results([], rows[2:]), "m", IN_FLIGHT.get) == ()


def test_a_variant_is_told_at_one_in_flight_and_at_the_most_with_what_it_keeps() -> None:
    rows = [
        contrast(
            "variant_vs_baseline", "fp8", load, j_per_request_ratio=row(ratio, ratio - 0.01, ratio + 0.01)
        )
        for load, ratio in (
            ("single-stream", 0.66),
            ("closed-8", 0.5),
            ("closed-64", 0.69),
            ("open-1-poisson", 0.9),
        )
    ]
    kept = row(-0.1, -0.2, -0.02)
    rows.append(contrast("accuracy_vs_baseline", "fp8", "closed-64", pass_at_1_plus_difference=kept))
    points = [
        point("fp8", "closed-64", 2.0, pass_at_1_plus=0.8),
        point("bf16", "closed-64", 3.0, pass_at_1_plus=0.9),
    ]
    answers = {
        answer.question: answer.sentences for answer in answers_of(results(points, rows), "m", IN_FLIGHT.get)
    }
    (sentence,) = answers[VARIANTS]
    assert sentence.startswith("fp8: one at a time costs 34 % less")
    assert "at 64 in flight costs 31 % less" in sentence
    assert "50 %" not in sentence
    assert sentence.endswith("pass@1 0.80 against 0.90, 0.10 less (95 %: 0.02 to 0.20)")


def test_a_difference_of_pass_at_1_that_cannot_be_seen_has_its_ends_named() -> None:
    ratio = contrast("variant_vs_baseline", "fp8", "closed-64", j_per_request_ratio=row(0.7, 0.6, 0.8))
    unseen = row(-0.01, -0.05, 0.03)
    kept = contrast("accuracy_vs_baseline", "fp8", "closed-64", pass_at_1_plus_difference=unseen)
    points = [
        point(name, "closed-64", 2.0, pass_at_1_plus=share) for name, share in (("fp8", 0.89), ("bf16", 0.9))
    ]
    answers = answers_of(results(points, [ratio, kept]), "m", IN_FLIGHT.get)
    (sentence,) = next(answer.sentences for answer in answers if answer.question == VARIANTS)
    assert sentence.endswith("against 0.90 (no difference can be seen, 95 %: 0.05 less to 0.03 more)")


def test_the_best_is_what_solves_a_task_for_least_and_keeps_the_bounds() -> None:
    points = [
        point("bf16", "closed-64", 3.0, pass_at_1_plus=0.9, j_per_request_in_slo=9.0, slo_share=0.3),
        point("bf16", "closed-8", 4.0, pass_at_1_plus=0.9, j_per_request_in_slo=4.2, slo_share=0.95),
        point("broken", "closed-64", 1.0, pass_at_1_plus=0.0, j_per_request_in_slo=1.0, slo_share=1.0),
        point("poor", "closed-64", 2.0, pass_at_1_plus=0.1, j_per_request_in_slo=2.0, slo_share=1.0),
    ]
    (free,) = answers_of(results(points, []), "m", IN_FLIGHT.get)
    assert free.question == BEST
    assert free.sentences[0].startswith("bf16 under closed-64 ")
    (bound,) = answers_of(results(points, []), "m", IN_FLIGHT.get, {"ttft": 200.0})
    assert bound.sentences[0].startswith("bf16 under closed-8 ")
    assert "TTFT up to 200 ms" in bound.sentences[0]
    assert "95 %" in bound.sentences[0]
    none = [point(name, "closed-8", 1.0) for name in ("bf16", "fp8")]
    (unkept,) = answers_of(results(none, []), "m", IN_FLIGHT.get, {"e2e": 10.0})
    assert "No variant and load is known" in unkept.sentences[0]


def test_the_best_is_said_to_be_of_those_whose_joules_are_known_and_of_a_single_one_nothing_is_said() -> None:
    unknown = Point("m", "fp8", "closed-64", 3, {"e2e_p50_ms": (200.0,)}, {})
    points = [point("bf16", "closed-64", 3.0), point("bf16", "closed-8", 4.0), unknown]
    (best,) = answers_of(results(points, []), "m", IN_FLIGHT.get)
    assert "of the 2 of 3 whose joules are known (no latency bound was set)" in best.sentences[0]
    (every,) = answers_of(results(points[:2], []), "m", IN_FLIGHT.get)
    assert "of all (no latency bound was set)" in every.sentences[0]
    assert answers_of(results(points[1:], []), "m", IN_FLIGHT.get) == ()


def of(model: str, one: Point) -> Point:
    return replace(one, model=model)


def test_models_stand_by_the_joules_of_a_solved_task_each_by_its_best_and_who_solves_nothing_is_last() -> (
    None
):
    points = [
        of("cheap-and-wrong", point("bf16", "closed-8", 10.0, pass_at_1_plus=0.1)),
        of("dear-and-right", point("bf16", "single-stream", 90.0, pass_at_1_plus=0.9)),
        of("dear-and-right", point("fp8", "closed-8", 45.0, pass_at_1_plus=0.9)),
        of("useless", point("bf16", "closed-8", 1.0, pass_at_1_plus=0.0)),
    ]
    answer = between_models(results(points, []))
    assert answer is not None
    assert answer.question == MODELS
    assert answer.sentences == (
        "dear-and-right: 50.0 J a solved task: 45.0 J/request by fp8 under closed-8, pass@1 0.90",
        "cheap-and-wrong: 100 J a solved task: 10.0 J/request by bf16 under closed-8, pass@1 0.10",
        "useless: solved no task",
    )


def test_models_that_nobody_graded_stand_by_the_joules_of_a_request_and_within_the_bounds() -> None:
    points = [
        of("a", point("bf16", "closed-8", 10.0, j_per_request_in_slo=30.0)),
        of("b", point("bf16", "closed-8", 20.0, j_per_request_in_slo=25.0)),
        of("c", point("bf16", "closed-8", 5.0)),
    ]
    free, bound = (
        between_models(results(points[:2], [])),
        between_models(results(points, []), {"ttft": 200.0}),
    )
    assert free is not None
    assert [sentence.partition(":")[0] for sentence in free.sentences] == ["a", "b"]
    assert bound is not None
    assert bound.sentences[:2] == (
        "b: 25.0 J/request by bf16 under closed-8", "a: 30.0 J/request by bf16 under closed-8",
    )  # fmt: skip
    assert bound.sentences[2].startswith("c: nothing is known to have kept TTFT up to 200 ms")


def test_a_model_without_joules_or_without_grades_is_said_to_be_so_behind_the_others() -> None:
    def without_joules(**values: float) -> Point:
        return Point("m", "bf16", "closed-8", 3, {name: (value,) for name, value in values.items()}, {})

    points = [
        of("graded", point("bf16", "closed-8", 10.0, pass_at_1_plus=0.5)),
        of("ungraded", point("bf16", "closed-8", 1.0)),
        of("nothing-valid", without_joules(e2e_p50_ms=9.0)),
        of("no-meter", without_joules(pass_at_1_plus=0.9)),
        of("useless", point("bf16", "closed-8", 1.0, pass_at_1_plus=0.0)),
    ]
    answer = between_models(results(points, []))
    assert answer is not None
    assert answer.sentences == (
        "graded: 20.0 J a solved task: 10.0 J/request by bf16 under closed-8, pass@1 0.50",
        "ungraded: 1.00 J/request by bf16 under closed-8",
        "no-meter: its joules are not known",
        "nothing-valid: its joules are not known",
        "useless: solved no task",
    )


def test_one_model_is_set_beside_none() -> None:
    points = [point("bf16", "closed-8", 10.0), point("fp8", "closed-8", 9.0)]
    assert between_models(results(points, [])) is None
