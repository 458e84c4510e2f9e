"""evalplus' sample format is read as evalplus reads it, and a bad line is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.grading import grade_samples
from configs.datasets import load_dataset
from starwatt_errors import UsageError

DATASET = load_dataset("starwatt-24")
TASK = DATASET.by_id["starwatt/15"]
OTHER = DATASET.by_id["starwatt/1"]


@pytest.mark.usefixtures("sandbox")
def test_solutions_and_completions_are_graded_and_pass_at_1_is_the_mean_over_tasks(
    tmp_path: Path, answers_cache: Path
) -> None:
    samples = [
        {"task_id": TASK.task_id, "solution": TASK.prompt + TASK.canonical_solution},
        {"task_id": TASK.task_id, "completion": "    return value\n"},
        {"task_id": OTHER.task_id, "completion": OTHER.canonical_solution},
        {
            "task_id": TASK.task_id,
            "solution": "def bounded(v, a, b):\n    return min(max(v, a), b) % 10 ** 9\n",
        },
        {"task_id": TASK.task_id, "solution": "not a program"},
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n\n".join(map(json.dumps, samples)) + "\n")
    result = grade_samples(path, DATASET, cache_dir=answers_cache)
    assert result["dataset_hash"] == DATASET.sha256
    verdicts = [
        (grade["sample"], grade["base"], grade["plus"], grade["reason"]) for grade in result["grades"]
    ]
    assert verdicts == [
        (0, True, True, "passed"),
        (1, False, False, "wrong_answer"),
        (0, True, True, "passed"),
        (2, True, False, "wrong_answer"),
        (3, False, False, "syntax"),
    ]
    assert result["pass_at_1"] == {"base": (2 / 4 + 1) / 2, "plus": (1 / 4 + 1) / 2}
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no samples"),
        ("{", "line 1: not JSON"),
        ("[]", "line 1: not a JSON object"),
        ('{"task_id": "HumanEval/0", "solution": ""}', "HumanEval/0"),
        ('{"solution": ""}', "task_id"),
        ('\n{"task_id": "starwatt/1"}', "line 2: it takes a string in the field solution or completion"),
        ('{"task_id": "starwatt/1", "solution": ["x"]}', "solution or completion"),
    ],
)
def test_a_bad_file_is_a_usage_error_that_names_the_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        grade_samples(path, DATASET)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.jsonl"):
        grade_samples(tmp_path / "nothing.jsonl", DATASET)
