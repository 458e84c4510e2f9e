"""pass@1 against pass@1, and answers that changed."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.accuracy.completions import Answers, answers_of
from analysis.accuracy.verdicts import Accuracy
from analysis.cells.context import Context
from analysis.contrasts.accuracy import (
    accuracy_contrast_rows,
    mcnemar_p,
    minimum_detectable_difference,
    sign_flip_p,
)
from configs.schema import Study
from tests.support.builders import columns, request
from traces.layout import CellKey

STUDY = Study.model_validate(
    {
        "name": "s",
        "models": ["m"],
        "baseline": "bf16",
        "variants": ["bf16", "nf4-bnb"],
        "loads": [{"kind": "single_stream"}, {"kind": "closed", "concurrency": 8}],
    }
)
TASKS = 20


def answers(variant: str, load: str, block: int, passed: list[int], texts: list[str]) -> Answers:
    """A cell of 20 tasks, one sample each."""
    rows = [request(n, n, n + 1, task_id=f"T/{n:02}", completion=text) for n, text in enumerate(texts)]
    counts = np.array(passed)
    accuracy = Accuracy(
        tuple(f"T/{n:02}" for n in range(TASKS)), np.ones(TASKS, dtype=np.int64), counts, counts, None
    )
    return answers_of(CellKey("m", variant, load, block), columns(*rows), accuracy)


def metrics(rows: list[dict[str, object]], contrast: str, variant: str) -> dict[str, dict[str, object]]:
    """By metric."""
    return {
        str(row["metric"]): row for row in rows if row["contrast"] == contrast and row["variant"] == variant
    }


def test_a_variant_that_loses_ten_tasks_is_found_and_told_with_all_its_figures() -> None:
    texts = ["a"] * TASKS
    cells = [
        answers("bf16", "single-stream", 1, [1] * TASKS, texts),
        answers("nf4-bnb", "single-stream", 1, [1] * 10 + [0] * 10, texts),
    ]
    values = metrics(accuracy_contrast_rows(cells, Context(STUDY)), "accuracy_vs_baseline", "nf4-bnb")
    name = "pass_at_1_plus_difference"
    assert values[name]["value"] == -0.5
    assert values[name]["interval_kind"] == "tasks"
    assert values[f"{name}_p"]["value"] == pytest.approx(2 / 2**10)
    assert values[f"{name}_p_mcnemar"]["value"] == pytest.approx(2 / 2**10)
    assert values[f"{name}_p_holm"]["value"] == pytest.approx(2 / 2**10)
    assert values[f"{name}_smallest_visible"]["value"] == pytest.approx(0.32, abs=0.01)
    assert values[name]["boundary"] is None


def test_answers_that_differ_between_loads_stand_beside_those_that_differ_between_repeats() -> None:
    cells = []
    for block in (1, 2, 3):
        cells.append(answers("bf16", "single-stream", block, [1] * TASKS, ["a"] * TASKS))
        changed = ["b"] * 5 + ["a"] * 14 + [f"{block}"]  # five differ by the load, one by chance
        cells.append(answers("bf16", "closed-8", block, [1] * TASKS, changed))
    values = metrics(accuracy_contrast_rows(cells, Context(STUDY)), "accuracy_vs_single", "bf16")
    assert values["flips_between_loads"]["value"] == 6 / 20
    assert values["flips_between_repeats"]["value"] == 1 / 20
    assert values["flips_between_repeats_single"]["value"] == 0.0
    assert values["flips_between_loads"]["blocks"] == 3
    assert values["pass_at_1_plus_difference_p_mcnemar"]["reasons"] == ["several_samples"]


def test_one_block_has_no_repeats_and_ungraded_answers_no_difference() -> None:
    single = answers("bf16", "single-stream", 1, [1] * TASKS, ["a"] * TASKS)
    batched = answers("bf16", "closed-8", 1, [1] * TASKS, ["a"] * TASKS)
    nothing = Accuracy(
        batched.accuracy.task_id,
        batched.accuracy.samples,
        batched.accuracy.samples,
        batched.accuracy.samples,
        "not_graded",
    )
    values = metrics(
        accuracy_contrast_rows([single, Answers(batched.key, nothing, batched.prints)], Context(STUDY)),
        "accuracy_vs_single",
        "bf16",
    )
    assert values["flips_between_loads"]["value"] == 0.0
    assert values["flips_between_repeats"]["reasons"] == ["too_few_blocks"]
    assert values["pass_at_1_plus_difference"]["value"] is None
    assert values["pass_at_1_plus_difference"]["reasons"] == ["not_graded"]


def test_mcnemar_is_the_binomials() -> None:
    assert mcnemar_p(np.array([1.0] * 5 + [-1.0] + [0.0] * 10)) == pytest.approx(14 / 64)
    assert mcnemar_p(np.zeros(5)) == 1.0


@pytest.mark.parametrize("tasks", [10, 30])
def test_sign_flips_find_nothing_in_95_of_100_studies_where_there_is_nothing(tasks: int) -> None:
    rng = np.random.default_rng(5)
    called = [sign_flip_p(rng.normal(size=tasks)) < 0.05 for _ in range(150)]
    assert 0.01 <= float(np.mean(called)) <= 0.1
    assert sign_flip_p(np.zeros(tasks)) == 1.0


def test_no_fewer_than_six_tasks_could_have_been_seen() -> None:
    assert minimum_detectable_difference(np.zeros(164)) == pytest.approx(6 / 164)
    assert minimum_detectable_difference(np.zeros(3)) == 1.0
