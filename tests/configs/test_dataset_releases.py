"""A data set is called by its content."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.datasets import asked_name, load_dataset
from configs.datasets.releases import name_of_content
from starwatt_errors import UsageError
from tests.configs.test_datasets import HUMANEVAL_PLUS

Lines = list[dict[str, Any]]
LINES: Lines = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "canonical_solution": "    return x\n",
        "base_input": [[1]],
        "plus_input": [[2]],
        "atol": 0,
    }
    for number in range(3)
]


def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: Lines) -> str:
    """What a file of these lines is called."""
    path = tmp_path / "HumanEvalPlus.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(path))
    return load_dataset("humaneval+").name


def test_the_bundled_tasks_are_the_release_that_is_named() -> None:
    assert load_dataset("starwatt-24").name == "starwatt-24"
    assert name_of_content("starwatt-24", "0" * 64) == "starwatt-24 (modified)"


def test_what_is_no_release_is_called_modified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert found(monkeypatch, tmp_path, LINES) == "humaneval+ (modified)"
    assert asked_name("humaneval+ (modified)") == "humaneval+"


def test_a_task_that_is_there_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds HumanEval/1 twice"):
        found(monkeypatch, tmp_path, [*LINES, LINES[1]])


def _fewer(lines: Lines) -> Lines:
    return lines[:40]


def _easier(lines: Lines) -> Lines:
    return [{**lines[0], "plus_input": []}, *lines[1:]]


@pytest.mark.skipif(not HUMANEVAL_PLUS.is_file(), reason="HumanEval+ is not on this machine")
@pytest.mark.parametrize(
    ("change", "name"),
    [(list, "humaneval+"), (_fewer, "humaneval+ (modified)"), (_easier, "humaneval+ (modified)")],
)
def test_releases_are_known_and_whatever_was_changed_in_them_is_not_called_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: Callable[[Lines], Lines], name: str
) -> None:
    lines = [json.loads(line) for line in gzip.decompress(HUMANEVAL_PLUS.read_bytes()).splitlines()]
    assert found(monkeypatch, tmp_path, change(lines)) == name


@pytest.mark.skipif(not HUMANEVAL_PLUS.is_file(), reason="HumanEval+ is not on this machine")
def test_the_mini_release_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mini = HUMANEVAL_PLUS.with_name("HumanEvalPlus-Mini.jsonl.gz")
    if not mini.is_file():
        pytest.skip("the mini release is not on this machine")
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", os.fspath(mini))
    assert load_dataset("humaneval+").name == "humaneval+ (mini)"
