"""What is kept goes by everything that decides it, and a damaged cache says that it can be removed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from analysis.grading import Candidate, grade, grader, references
from analysis.grading.cache import Cache, versions
from analysis.grading.grader import Program
from analysis.grading.isolation.launch import bubblewrap, plain
from analysis.grading.isolation.sandbox import Limits
from configs.datasets import Dataset, load_dataset
from starwatt_errors import GradingError

DATASET = load_dataset("starwatt-24")
TASK = DATASET.by_id["starwatt/15"]
RIGHT = Candidate(1, TASK.task_id, "\n    return max(low, min(high, value))")


def test_a_cache_that_is_no_database_is_named_and_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "grading.sqlite").write_text("this is not a database, and long enough to be looked at" * 20)
    with pytest.raises(GradingError, match=r"cannot keep verdicts.*remove .*grading\.sqlite"):
        grade(DATASET, [RIGHT], cache_dir=tmp_path)


def test_a_database_with_another_table_is_named_and_can_be_removed(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "grading.sqlite")) as database:
        database.execute("CREATE TABLE kept (name TEXT)")
    with pytest.raises(GradingError, match=r"no such column.*remove .*grading\.sqlite"):
        grade(DATASET, [RIGHT], cache_dir=tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        b"17 0 not packed",
        b"99999999999999999999 0 x",
        b"-1 0 x",
        b"no number",
        b"1",
        b"1 x",
        "a text",
        5,
        0.5,
    ],
)
def test_an_entry_that_cannot_be_unpacked_is_damage(value: object, tmp_path: Path) -> None:
    form = TypeAdapter(dict[str, bool])
    with contextlib.closing(Cache(tmp_path)) as cache:
        cache.put("key", {"base": True})
        assert cache.get("key", form) == {"base": True}
        cache._execute("UPDATE kept SET value = ?", (value,))
        with pytest.raises(GradingError, match=r"damaged.*remove .*grading\.sqlite"):
            cache.get("key", form)


def test_an_entry_whose_bytes_have_changed_is_damage(tmp_path: Path) -> None:
    """Else a wrong expected output of the same length made right programs fail, for ever."""
    with contextlib.closing(Cache(tmp_path)) as cache:
        cache.put_bytes("key", b"v15")
        cache.put_bytes("other", b"v16")
        (kept,), (other,) = cache._execute("SELECT value FROM kept ORDER BY key", ())
        changed = b" ".join([*kept.split(b" ", 2)[:2], other.split(b" ", 2)[2]])
        cache._execute("UPDATE kept SET value = ? WHERE key = 'key'", (changed,))
        assert cache.get_bytes("other") == b"v16"
        with pytest.raises(GradingError, match=r"damaged.*checksum.*remove .*grading\.sqlite"):
            cache.get_bytes("key")


def keep_another(folder: Path, marks: str, value: object) -> None:
    """Another value in the place of each that was kept and has these letters in it."""
    with contextlib.closing(Cache(folder)) as cache:
        for (key,) in cache._execute("SELECT key FROM kept", ()):
            if marks.encode() in (cache.get_bytes(key) or b""):
                cache.put(key, value)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "value",
    [None, 5, [], {}, {"base": True}, {"base": 1, "plus": True, "reason": "", "detail": "", "retried": 0, "cpu_s": 0}],
    ids=json.dumps,
)  # fmt: skip
def test_a_verdict_of_another_form_is_damage(
    value: object, tmp_path: Path, answers_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade(DATASET, [RIGHT], cache_dir=answers_cache)
    (tmp_path / "grading.sqlite").write_bytes((answers_cache / "grading.sqlite").read_bytes())
    monkeypatch.setenv("PATH", "")  # nothing is run again
    keep_another(tmp_path, '"reason"', value)
    with pytest.raises(GradingError, match=r"damaged.*form.*remove .*grading\.sqlite"):
        grade(DATASET, [RIGHT], cache_dir=tmp_path)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "value",
    [{}, [{}, {}], [[1], [True], [True], [0.1]], [{"ends": [], "floats": [], "same_is_right": [], "cpu_s": []}] * 2],
    ids=json.dumps,
)  # fmt: skip
def test_expected_outputs_of_another_form_are_damage(
    value: object, tmp_path: Path, answers_cache: Path
) -> None:
    grade(DATASET, [RIGHT], cache_dir=answers_cache)
    (tmp_path / "grading.sqlite").write_bytes((answers_cache / "grading.sqlite").read_bytes())
    keep_another(tmp_path, '"same_is_right"', value)
    with pytest.raises(GradingError, match=r"damaged.*remove .*grading\.sqlite"):
        grade(DATASET, [Candidate(1, TASK.task_id, "\n    return 1")], cache_dir=tmp_path)


@pytest.mark.usefixtures("sandbox")
def test_expected_outputs_of_another_length_are_damage(tmp_path: Path, answers_cache: Path) -> None:
    grade(DATASET, [RIGHT], cache_dir=answers_cache)
    (tmp_path / "grading.sqlite").write_bytes((answers_cache / "grading.sqlite").read_bytes())
    with contextlib.closing(Cache(tmp_path)) as cache:
        for phase in ("base", "plus"):
            cache.put_bytes(references._key(DATASET, TASK, bubblewrap, f"outputs of {phase}"), b"v")
    with pytest.raises(GradingError, match=r"damaged \(1 bytes.*remove .*grading\.sqlite"):
        grade(DATASET, [Candidate(1, TASK.task_id, "\n    return 1")], cache_dir=tmp_path)


@pytest.mark.usefixtures("sandbox")
def test_expected_outputs_that_are_gone_are_damage(tmp_path: Path, answers_cache: Path) -> None:
    """The remedy helps; grading again alone would not."""
    grade(DATASET, [RIGHT], cache_dir=answers_cache)
    (tmp_path / "grading.sqlite").write_bytes((answers_cache / "grading.sqlite").read_bytes())
    with contextlib.closing(Cache(tmp_path)) as cache:
        cache._execute(
            "DELETE FROM kept WHERE key = ?", (references._key(DATASET, TASK, bubblewrap, "outputs of plus"),)
        )
    with pytest.raises(GradingError, match=r"damaged.*missing.*remove .*grading\.sqlite"):
        grade(
            DATASET,
            [Candidate(1, TASK.task_id, "\n    return max(low, min(high, value)) # 2")],
            cache_dir=tmp_path,
        )


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("python", ("CPython", "3.12.0", "x86_64")), ("numpy", "0"), ("grader", 0), ("sanitiser", []),
        ("prompt_format", 0),
    ],
)  # fmt: skip
def test_a_verdict_and_expected_outputs_go_by_every_version(
    name: str, other: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(TASK.task_id, "x")

    def keys() -> tuple[str, str]:
        return (
            grader._key(DATASET, program, Limits(), bubblewrap),
            references._key(DATASET, TASK, bubblewrap, "about outputs"),
        )

    here = keys()
    assert name in versions()
    changed = {**versions(), name: other}
    for module in (grader, references):
        monkeypatch.setattr(module, "versions", lambda: changed)
    assert not set(here) & set(keys())


def test_a_verdict_goes_by_data_limits_way_and_program() -> None:
    program = Program(TASK.task_id, "x")
    keys = {
        grader._key(DATASET, program, Limits(), bubblewrap),
        grader._key(DATASET, program, Limits(), plain),
        grader._key(DATASET, program, Limits(processes=9), bubblewrap),
        grader._key(Dataset(DATASET.name, "0" * 64, DATASET.tasks), program, Limits(), bubblewrap),
        grader._key(DATASET, Program(TASK.task_id, "y"), Limits(), bubblewrap),
        grader._key(DATASET, Program("starwatt/1", "x"), Limits(), bubblewrap),
        grader._key(DATASET, Program(TASK.task_id, "x", sanitize=True), Limits(), bubblewrap),
    }
    assert len(keys) == 7


def test_a_place_where_nothing_can_be_kept_is_named_in_the_systems_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "grading.sqlite").mkdir(parents=True)
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "folder"):
        with pytest.raises(GradingError, match=f"cannot keep verdicts in {place}: ") as refused:
            Cache(place)
        assert "Errno" not in str(refused.value)
