"""A gate says that a run is worse only as far as intervals bear it out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.compare.gate import Gate, Outcome, bound_of, gate
from analysis.compare.runs import PASSED, Beside, Comparison, Difference
from analysis.contrasts.statistics import RatioEstimate, no_ratio
from analysis.keys import Condition
from configs.differences import Change
from starwatt_errors import UsageError
from tests.golden.world import LOADS, MODEL_NAME, World
from tests.support.command import starwatt


def of(*estimates: RatioEstimate, metric: str = "j_per_request", missing: int = 0) -> Comparison:
    differences = tuple(
        Difference("after", "m", "bf16", f"closed-{place + 1}", metric, 1.0, estimate.ratio, estimate)
        for place, estimate in enumerate(estimates)
    )
    gone = tuple(Condition("m", "gone", f"closed-{place + 1}") for place in range(missing))
    beside = Beside("after", True, gone, (), (), (), "", None)
    return Comparison(("before", "after"), None, False, differences, (beside,), ())


def ratio(value: float, lo: float, hi: float) -> RatioEstimate:
    return RatioEstimate(value, lo, hi, 5, ())


def outcomes(found: Gate) -> list[Outcome]:
    return [verdict.outcome for verdict in found.verdicts]


@pytest.mark.parametrize(
    ("estimate", "strict", "outcome"),
    [
        (ratio(1.08, 1.06, 1.10), False, Outcome.WORSE),
        (ratio(1.08, 1.04, 1.12), False, Outcome.WITHIN),  # not shown to be above 5 %
        (ratio(1.08, 1.04, 1.12), True, Outcome.WORSE),  # not shown to be below it
        (ratio(1.02, 1.00, 1.04), True, Outcome.WITHIN),
        (ratio(0.80, 0.79, 0.81), False, Outcome.WITHIN),
        (RatioEstimate(1.2, None, None, 2, ("too_few_blocks",)), False, Outcome.UNKNOWN),
        (no_ratio("no_common_boundary"), True, Outcome.UNKNOWN),
    ],
)
def test_joules_that_rose_by_more_than_the_bound_are_worse(
    estimate: RatioEstimate, strict: bool, outcome: Outcome
) -> None:
    assert outcomes(gate(of(estimate), "j_per_request", 0.05, strict=strict)) == [outcome]


@pytest.mark.parametrize(("strict", "outcome"), [(False, Outcome.WORSE), (True, Outcome.WORSE)])
def test_a_rate_that_fell_is_worse(strict: bool, outcome: Outcome) -> None:
    gated = gate(of(ratio(0.9, 0.88, 0.93), metric="request_rate"), "request_rate", 0.05, strict=strict)
    (verdict,) = gated.verdicts
    assert verdict.outcome is outcome
    assert (verdict.worse_by, verdict.lo, verdict.hi) == pytest.approx((0.1, 0.07, 0.12))


def test_a_rate_that_rose_is_not_worse() -> None:
    gated = gate(of(ratio(1.3, 1.2, 1.4), metric="request_rate"), "request_rate", 0.05, strict=True)
    assert gated.outcome is Outcome.WITHIN


def test_tasks_that_are_no_longer_solved_are_worse_by_the_difference() -> None:
    lost = RatioEstimate(-0.10, -0.15, -0.06, 164, ())
    assert gate(of(lost, metric=PASSED), PASSED, 0.05, strict=False).outcome is Outcome.WORSE
    assert gate(of(lost, metric=PASSED), PASSED, 0.07, strict=False).outcome is Outcome.WITHIN


def test_one_condition_that_is_worse_is_enough_and_one_that_is_not_known_keeps_the_gate_from_passing() -> (
    None
):
    good, bad, unknown = ratio(1, 0.99, 1.01), ratio(2, 1.9, 2.1), no_ratio("one_engine_start")
    assert gate(of(good, unknown, bad), "j_per_request", 0.05, strict=False).outcome is Outcome.WORSE
    assert gate(of(good, unknown), "j_per_request", 0.05, strict=False).outcome is Outcome.UNKNOWN
    assert gate(of(good, good), "j_per_request", 0.05, strict=False).outcome is Outcome.WITHIN


def test_a_condition_that_the_later_run_lacks_is_not_known_and_no_condition_at_all_neither() -> None:
    gated = gate(of(ratio(1, 0.99, 1.01), missing=1), "j_per_request", 0.05, strict=False)
    assert outcomes(gated) == [Outcome.WITHIN, Outcome.UNKNOWN]
    assert gated.verdicts[1].reasons == ("not_in_both",)
    assert gate(of(), "j_per_request", 0.05, strict=False).outcome is Outcome.UNKNOWN


def test_runs_that_were_asked_other_things_are_not_set_against_each_other() -> None:
    comparison = of(ratio(2, 1.9, 2.1))
    (beside,) = comparison.others
    asked = (Change("prompts.max_tokens", 128, 256),)
    gated = gate(
        replace(comparison, others=(replace(beside, asked=asked),)), "j_per_request", 0.05, strict=False
    )
    assert gated.outcome is Outcome.UNKNOWN
    assert gated.verdicts[0].reasons == ("asked_differently",)


def test_a_bound_is_a_percentage_and_a_metric_has_a_worse_side() -> None:
    assert bound_of(" 2.5 %") == 0.025
    for text in ("5", "-5%", "five%", "0.05", "inf%"):
        with pytest.raises(UsageError, match="--fail-above"):
            bound_of(text)
    with pytest.raises(UsageError, match="j_per_request"):
        gate(of(), "window_s", 0.05, strict=False)


@pytest.mark.parametrize(
    ("order", "bound", "outcome", "code"),
    [
        ((0, 1), "5%", "worse", 4),  # bf16 takes half as much again
        ((0, 1), "60%", "within", 0),
        ((1, 0), "5%", "unknown", 3),  # the pruned variant is in the first run alone
    ],
)
def test_a_gate_ends_with_the_exit_code_of_what_intervals_show(
    worlds: tuple[World, World], tmp_path: Path, order: tuple[int, int], bound: str, outcome: str, code: int
) -> None:
    done = starwatt(
        "compare", *(worlds[place].root for place in order), "--out", tmp_path / "c.html", "--json",
        "--fail-above", bound, "--summary", tmp_path / "summary.md",
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    told = json.loads(done.stdout)["gate"]
    assert (told["outcome"], told["exit_code"], told["bound"]) == (outcome, code, float(bound[:-1]) / 100)
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.count(f"| {MODEL_NAME} | bf16 |") == len(LOADS)
    assert ("not_in_both" in summary) == (outcome == "unknown")


@pytest.mark.parametrize("flags", [("--fail-above", "5"), ("--fail-above", "5%", "--metric", "window_s")])
def test_a_gate_that_is_asked_wrongly_is_refused_before_a_run_is_read(flags: tuple[str, ...]) -> None:
    done = starwatt("compare", "no-such-run", "nor-this", *flags)
    assert done.returncode == 2
    assert flags[-2] in done.stderr


def test_a_gates_flags_are_refused_where_they_say_nothing(worlds: tuple[World, World]) -> None:
    roots = [world.root for world in worlds]
    for flags in (["--strict"], ["--metric", "request_rate"], ["--paper", "--fail-above", "5%"]):
        done = starwatt("compare", *roots, *flags)
        assert done.returncode == 2
        assert "--fail-above" in done.stderr
