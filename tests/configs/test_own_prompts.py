"""A file of own prompts: what it may hold, and what a wrong line is told."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from configs.datasets import load_dataset
from configs.datasets.own import read_own, text_of
from configs.loader import dump_study, load_study
from starwatt_errors import UsageError
from tests.support.studies import write_study

TESTS = {"entry_point": "add", "canonical_solution": "    return a + b\n", "base_input": [[1, 2]]}


def written(folder: Path, *lines: dict[str, Any] | str, name: str = "prompts.jsonl") -> Path:
    """A file with these lines."""
    path = folder / name
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def test_prompts_have_names_stops_and_lengths_of_their_own(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"prompt": "Say \u2028 it.\n"},
        "",
        {"prompt": "b", "task_id": "mine", "stop": ["\n\n"], "max_tokens": 7},
    )
    dataset = load_dataset(str(path))
    assert (dataset.name, dataset.has_tests) == ("prompts.jsonl", False)
    first, second = dataset.tasks
    assert (first.task_id, first.prompt, first.stop, first.max_tokens) == (
        "own/0",
        "Say \u2028 it.\n",
        (),
        None,
    )
    assert (second.task_id, second.stop, second.max_tokens) == ("mine", ("\n\n",), 7)


def test_the_digest_is_of_what_is_asked_and_not_of_how_it_is_written(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"prompt": "a"}, {"prompt": "b", "stop": ["x"]}]
    plain = load_dataset(str(written(tmp_path, *lines)))
    named = written(
        tmp_path, {"task_id": "own/0", "prompt": "a"}, {"stop": ["x"], "prompt": "b"}, name="n.jsonl"
    )
    packed = tmp_path / "p.jsonl.gz"
    packed.write_bytes(gzip.compress(named.read_bytes()))
    kept = written(tmp_path, text_of(read_own(packed)).rstrip("\n"), name="k.jsonl")
    assert {load_dataset(str(file)).sha256 for file in (named, packed, kept)} == {plain.sha256}
    for changed in ({"prompt": "c"}, {"prompt": "a", "max_tokens": 3}, {"prompt": "a", "stop": ["y"]}):
        other = load_dataset(str(written(tmp_path, changed, lines[1], name="o.jsonl")))
        assert other.sha256 != plain.sha256


def test_a_part_of_humaneval_plus_is_a_file_of_own_prompts_with_tests(tmp_path: Path) -> None:
    bundled = Path(load_dataset.__code__.co_filename).with_name("starwatt-24.jsonl")
    some = bundled.read_text(encoding="utf-8").splitlines()[:3]
    dataset = load_dataset(str(written(tmp_path, *some)))
    assert dataset.has_tests
    assert dataset.tasks == load_dataset("starwatt-24").tasks[:3]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "holds no prompt"),
        (('{"prompt": ',), ":1: is not valid JSON"),
        (("[1]",), ":1: takes a JSON object with a prompt, not list"),
        (({"prompt": "a"}, {"text": "b"}), ":2: prompt: is required"),
        (
            ({"prompt": "a", "max_token": 3},),
            ":1: max_token: no such field; known here: prompt, task_id, max_tokens",
        ),
        (
            ({"prompt": "a", "max_tokens": 0},),
            ":1: max_tokens: takes a number from 1 on (given: 0)",
        ),
        (({"prompt": "a", "stop": [""]},), ":1: stop.0: takes a text that is not empty"),
        (
            ({"prompt": "a", "task_id": "t"}, {"prompt": "b", "task_id": "t"}),
            ":2: task_id: 't' is named already",
        ),
        (
            ({"prompt": "a", "entry_point": "f"},),
            ":1: tests take entry_point, canonical_solution, base_input together",
        ),
        (({"prompt": "a", "test": "def check(f): pass"},), "is not run here"),
        (({"prompt": "a", **TESTS, "stop": ["x"]},), "those of the prompt format"),
        (
            ({"prompt": "a", **TESTS}, {"prompt": "b"}),
            ":2: this line has no tests: give tests to every prompt",
        ),
        (({"prompt": "a", **TESTS, "base_input": [3]},), ":1: base_input.0: takes a list"),
    ],
)
def test_a_wrong_line_is_named_with_its_field(tmp_path: Path, lines: tuple[Any, ...], said: str) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(UsageError) as error:
        load_dataset(str(path))
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)


def test_a_study_finds_its_prompts_beside_itself(tmp_path: Path) -> None:
    written(tmp_path, {"prompt": "a"})
    study = load_study(write_study(tmp_path, ("dataset: starwatt-24", "dataset: ./prompts.jsonl")))
    assert study.prompts.dataset == str(tmp_path / "prompts.jsonl")
    (tmp_path / "run").mkdir()
    kept = tmp_path / "run" / "study.yaml"
    kept.write_text(dump_study(study), encoding="utf-8")
    assert load_study(kept) == study


def test_a_study_whose_prompts_are_wrong_names_both_files_and_lines(tmp_path: Path) -> None:
    path = write_study(tmp_path, ("dataset: starwatt-24", "dataset: prompts.jsonl"))
    with pytest.raises(UsageError, match=r"study.yaml:11: prompts.dataset: .*prompts.jsonl: cannot be read"):
        load_study(path)
    written(tmp_path, {"prompt": "a"}, {"prompt": 3})
    with pytest.raises(
        UsageError, match=r"study.yaml:11: prompts.dataset: .*prompts.jsonl:2: prompt: takes text"
    ):
        load_study(path)
    path = write_study(tmp_path, ("dataset: starwatt-24", "dataset: prompts.json"))
    with pytest.raises(UsageError, match=r"mbpp\+, or the path of a .jsonl file"):
        load_study(path)


def test_the_prompts_that_the_docs_show_are_prompts(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```json\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    plain, tested = (load_dataset(str(written(tmp_path, text))) for text in shown)
    assert [task.max_tokens for task in plain.tasks] == [200, None]
    assert (plain.has_tests, tested.has_tests) == (False, True)
