"""The bundled tasks are sound, HumanEval+ loads, and a wrong name says what to write instead."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from configs.datasets import DATASETS, Task, load_dataset
from starwatt_errors import UsageError
from tests.support.busy import PATIENCE_S

BUNDLED = load_dataset("starwatt-24")
HUMANEVAL_PLUS = Path(__file__).parents[3] / "shared" / "data" / "HumanEvalPlus.jsonl.gz"
needs_humaneval = pytest.mark.skipif(
    not HUMANEVAL_PLUS.is_file(), reason="HumanEvalPlus.jsonl.gz is not here"
)


def outputs(task: Task) -> list[object]:
    namespace: dict[str, object] = {}
    exec(task.prompt + task.canonical_solution, namespace)  # noqa: S102 (our own tasks)
    function = namespace[task.entry_point]
    assert callable(function)
    return [function(*copy.deepcopy(args)) for args in (*task.base_inputs, *task.plus_inputs)]


@pytest.mark.parametrize("task", BUNDLED.tasks, ids=lambda task: task.task_id)
def test_a_canonical_solution_returns_data_for_every_input_and_the_same_each_time(task: Task) -> None:
    first = outputs(task)
    assert first == outputs(task)
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize("task", BUNDLED.tasks, ids=lambda task: task.task_id)
def test_a_bundled_task_has_the_shape_that_prompts_and_grading_count_on(task: Task) -> None:
    assert task.prompt.endswith('    """\n')
    assert task.prompt.count(">>> ") >= 2
    assert f"def {task.entry_point}(" in task.prompt
    assert all(line.startswith("    ") for line in task.canonical_solution.splitlines())
    assert task.canonical_solution.endswith("\n")
    assert 3 <= len(task.base_inputs) <= 6
    assert 8 <= len(task.plus_inputs) <= 25


@pytest.mark.parametrize("task", BUNDLED.tasks, ids=lambda task: task.task_id)
def test_no_constant_answer_solves_a_bundled_task(task: Task) -> None:
    assert len({json.dumps(output) for output in outputs(task)}) > 1


def test_the_bundled_set_has_24_tasks_with_ids_of_their_own() -> None:
    assert [task.task_id for task in BUNDLED.tasks] == [f"starwatt/{number}" for number in range(24)]
    assert len({task.entry_point for task in BUNDLED.tasks}) == 24
    assert BUNDLED.by_id["starwatt/3"] is BUNDLED.tasks[3]


def test_loading_twice_gives_the_same_hash() -> None:
    assert len(BUNDLED.sha256) == 64
    assert load_dataset("starwatt-24").sha256 == BUNDLED.sha256


def test_an_unknown_name_is_a_usage_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError) as error:
        load_dataset("humaneval")
    assert all(name in str(error.value) for name in DATASETS)


def test_an_override_that_is_no_file_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(tmp_path / "missing.jsonl.gz"))
    with pytest.raises(UsageError, match="HUMANEVAL_OVERRIDE_PATH"):
        load_dataset("humaneval+")


def test_an_override_that_is_no_dataset_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(b"not gzip")
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(broken))
    with pytest.raises(UsageError, match="HUMANEVAL_OVERRIDE_PATH"):
        load_dataset("humaneval+")


def test_humaneval_plus_that_can_not_be_downloaded_says_what_to_set(tmp_path: Path) -> None:
    """In a process of its own: evalplus fixes its cache folder and the proxy when it is imported."""
    probe = (
        "from configs.datasets import load_dataset\n"
        "from starwatt_errors import UsageError\n"
        "try:\n    load_dataset('humaneval+')\n"
        "except UsageError as error:\n    print('usage error:', error)\n"
    )
    environment = {"XDG_CACHE_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", probe]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE_S,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.startswith("usage error:")
    assert "HUMANEVAL_OVERRIDE_PATH" in done.stdout


@needs_humaneval
def test_humaneval_plus_has_its_164_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(HUMANEVAL_PLUS))
    dataset = load_dataset("humaneval+")
    assert len(dataset.tasks) == 164
    assert dataset.by_id["HumanEval/32"].entry_point == "find_zero"
    assert {task.atol for task in dataset.tasks} == {0.0, 1e-6, 1e-4}
    assert dataset.sha256 == load_dataset("humaneval+").sha256
