"""Right programs pass, wrong ones fail for the right reason, and nothing is graded twice."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from analysis.grading import Candidate, Grade, Limits, grade
from analysis.grading.grader import Program, judge_programs
from analysis.grading.judge import Judgement, judge
from configs.datasets import Dataset, Task, load_dataset
from starwatt_errors import GradingError

DATASET = load_dataset("starwatt-24")
CHUNKS, BOUNDED, CENTRED, TANK = "starwatt/16", "starwatt/15", "starwatt/5", "starwatt/17"


def grade_one(task_id: str, completion: str, cache: Path | None, dataset: Dataset = DATASET) -> Grade:
    (result,) = grade(dataset, [Candidate(1, task_id, completion)], workers=1, cache_dir=cache)
    return result


@pytest.mark.usefixtures("sandbox")
def test_every_canonical_solution_passes_base_and_plus_in_the_order_it_was_given(answers_cache: Path) -> None:
    candidates = [
        Candidate(100 - n, task.task_id, "\n" + task.canonical_solution)
        for n, task in enumerate(DATASET.tasks)
    ]
    seen: list[tuple[int, int, str]] = []

    def on_progress(done: int, total: int) -> None:
        seen.append((done, total, threading.current_thread().name))

    grades = grade(DATASET, candidates, cache_dir=answers_cache, on_progress=on_progress)
    assert [(grade.request_id, grade.task_id) for grade in grades] == [
        (c.request_id, c.task_id) for c in candidates
    ]
    assert all(
        (grade.base, grade.plus, grade.reason, grade.detail) == (True, True, "passed", "") for grade in grades
    )
    assert seen == [(done, 24, threading.current_thread().name) for done in range(1, 25)]


@pytest.mark.parametrize(
    ("task_id", "completion", "base", "reason", "detail"),
    [
        (BOUNDED, "\n    return min(high, value)", False, "wrong_answer", "input 1 [-2, 0, 10]: got -2, expected 0"),
        (BOUNDED, "\n    return max(low, min(high, value * (value < 10**9)))", True, "wrong_answer", "plus input"),
        (BOUNDED, "\n    return max(low, min(high, value", False, "syntax", "SyntaxError"),
        (BOUNDED, "\n    return \0", False, "syntax", "null bytes"),
        (BOUNDED, "return 1", False, "syntax", "outside function"),
        (BOUNDED, "\n    raise KeyError('k')", False, "exception", "KeyError: 'k'"),
        (BOUNDED, "\n    return undefined", False, "exception", "NameError"),
        (BOUNDED, "\n    pass\ndel bounded", False, "exception", "KeyError: 'bounded'"),
        (BOUNDED, "\n    return len(bytearray(1 << 40))", False, "memory", "base input 0"),
        (BOUNDED, "\n    return bounded(value, low, high)", False, "exception", "RecursionError"),
        (BOUNDED, "\n    while True: pass", False, "timeout", "base input 0"),
        (BOUNDED, "", False, "wrong_answer", "got None"),
        (CHUNKS, "\n    return (item for item in [items])", False, "wrong_answer", "<generator>"),
        (CENTRED, "\n    return [round(v, 3) for v in values]", False, "wrong_answer", "base input 0"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("sandbox")
def test_a_wrong_completion_fails_with_its_reason(
    task_id: str, completion: str, base: bool, reason: str, detail: str, answers_cache: Path
) -> None:
    result = grade_one(task_id, completion, answers_cache)
    assert (result.base, result.plus, result.reason) == (base, False, reason)
    assert detail in result.detail
    assert result.retried == (reason == "timeout")


@pytest.mark.parametrize(
    ("task_id", "completion"),
    [
        (CENTRED, "\n    import numpy as n\n    return (n.array(values) - n.mean(values)).tolist() if values else []"),
        (TANK, "\n    return round(3.14159265358979 * radius_cm * radius_cm * height_cm / 1000, 2)"),
        (TANK, "\n    import numpy\n    return numpy.float64(round(math.pi * radius_cm ** 2 * height_cm / 1000, 2))"),
        (BOUNDED, "\n    class Number(int):\n        pass\n    return Number(max(low, min(high, value)))"),
        ("starwatt/3", "\n    from collections import Counter\n    return Counter(str(len(word)) for word in words)"),
        (BOUNDED, "\n    return sorted((low, value, high))[1]\n\n\ndef other():\n    syntax error"),
        (BOUNDED, "\n    print('noise')\n    return max(low, min(high, value))<file_sep># another file"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("sandbox")
def test_a_right_completion_passes_in_another_form(
    task_id: str, completion: str, answers_cache: Path
) -> None:
    result = grade_one(task_id, completion, answers_cache)
    assert (result.base, result.plus, result.reason) == (True, True, "passed"), result.detail


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("def add(x: List[int], y):\n    return x + y\n", "NameError: name 'List' is not defined"),
        (
            "limit: Unknown = 3\ndef add(x, y):\n    return x + y\n",
            "NameError: name 'Unknown' is not defined",
        ),
        ("from __future__ import annotations\ndef add(x: List[int], y):\n    return x + y\n", ""),
        ("def add(x: int, y: int):\n    return add.__annotations__['x'](x) + y\n", ""),
        ("def add(x, y):\n    z: Unknown = x + y\n    return z\n", ""),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_annotations_are_evaluated_unless_the_program_itself_puts_it_off(program: str, detail: str) -> None:
    """Nothing of the runner's own future imports holds for a program."""
    task = Task("t/0", "def add(x, y):\n", "add", "    return x + y\n", ([1, 2],), ([3, 4],), 0.0)
    (verdict,) = judge_programs(Dataset("own", "5" * 64, (task,)), [Program("t/0", program)])
    assert verdict.plus == (not detail)
    assert detail in verdict.detail


@pytest.mark.usefixtures("sandbox")
def test_base_and_plus_run_in_processes_of_their_own() -> None:
    task = Task("t/0", "def count(x):\n", "count", "    return x\n", ([1], [2]), ([3],), 0.0)
    dataset = Dataset("own", "0" * 64, (task,))
    stateful = "    seen.append(x)\n    return x if len(seen) < 3 else -1\nseen = []\n"
    assert grade_one("t/0", stateful, None, dataset).reason == "passed"


@pytest.mark.usefixtures("sandbox")
def test_every_limit_follows_the_reference(answers_cache: Path) -> None:
    """A task whose reference takes 0.4 s allows 1.6 s: 1.2 s of work passes there and fails elsewhere."""
    work = "    import time\n    end = time.process_time() + {}\n"
    work += "    while time.process_time() < end: pass\n    return x\n"
    slow = Task("t/0", "def f(x):\n", "f", work.format(0.4), ([1],), ([1],), 0.0)
    quick = Task("t/1", "def f(x):\n", "f", "    return x\n", ([1],), ([1],), 0.0)
    dataset = Dataset("own", "1" * 64, (slow, quick))
    assert grade_one("t/0", work.format(1.2), answers_cache, dataset).reason == "passed"
    assert grade_one("t/1", work.format(1.2), answers_cache, dataset).reason == "timeout"


@pytest.mark.usefixtures("sandbox")
def test_what_was_graded_once_needs_no_sandbox_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = (f"\n    return {text}" for text in ("max(low, min(high, value))", "value"))
    candidates = [Candidate(n, BOUNDED, right if n % 2 else wrong) for n in range(10)]
    first = grade(DATASET, candidates, cache_dir=tmp_path)
    assert [result.plus for result in first] == [False, True] * 5
    monkeypatch.setenv("PATH", "")
    assert grade(DATASET, candidates, cache_dir=tmp_path) == first
    with pytest.raises(GradingError, match="apt-get install bubblewrap"):
        grade(DATASET, [Candidate(1, BOUNDED, "\n    return 3")], cache_dir=tmp_path)
    with pytest.raises(GradingError, match="apt-get install bubblewrap"):
        grade(DATASET, candidates, cache_dir=tmp_path, limits=Limits(processes=9))


@pytest.mark.usefixtures("sandbox")
def test_a_reference_that_fails_is_the_graders_failure_not_the_candidates() -> None:
    task = Task("t/0", "def f(x):\n", "f", "    return 1 // x\n", ([1],), ([0],), 0.0)
    with pytest.raises(GradingError, match="t/0"):
        grade_one("t/0", "    return 1\n", None, Dataset("own", "2" * 64, (task,)))


@pytest.mark.usefixtures("sandbox")
def test_an_interruption_ends_the_sandboxes_and_keeps_the_verdicts_so_far(tmp_path: Path) -> None:
    candidates = [Candidate(n, BOUNDED, f"\n    return {n}") for n in range(50)]

    def interrupt(done: int, _total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(DATASET, candidates, cache_dir=tmp_path, on_progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("grader-")]
    counts: list[int] = []
    grade(DATASET, candidates, cache_dir=tmp_path, on_progress=lambda done, _: counts.append(done))
    assert counts == list(range(1, 51))


@pytest.mark.usefixtures("sandbox")
def test_whatever_goes_wrong_with_one_program_is_its_verdict_and_the_others_have_theirs(
    answers_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge_or_fail(*arguments: Any, **options: Any) -> Judgement:
        if "BREAK" in arguments[3]:
            raise MemoryError("\ud800")
        return judge(*arguments, **options)

    monkeypatch.setattr("analysis.grading.grader.judge", judge_or_fail)
    right = "\n    return max(low, min(high, value))"
    candidates = [
        Candidate(1, BOUNDED, right),
        Candidate(2, BOUNDED, "\n    BREAK = 1\n    return value"),
    ]
    candidates += [Candidate(3, BOUNDED, f"{right}\n\n\n")]
    grades = grade(DATASET, candidates, workers=1, cache_dir=answers_cache)
    assert [graded.plus for graded in grades] == [True, False, True]
    assert (grades[1].reason, grades[1].retried) == ("forbidden", True)
    assert grades[1].detail == "it cannot be judged: MemoryError: \\ud800"


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("deed", ["posix._exit(0)", "posix.kill(posix.getpid(), 40)"])
def test_an_end_without_a_word_is_decided_again_before_it_counts(deed: str, answers_cache: Path) -> None:
    result = grade_one(BOUNDED, f"\n    import posix\n    {deed}", answers_cache)
    assert (result.reason, result.retried) == ("exception", True)


def test_a_task_that_the_dataset_does_not_have_is_refused() -> None:
    with pytest.raises(GradingError, match="HumanEval/0"):
        grade(DATASET, [Candidate(1, "HumanEval/0", "")])


def test_no_candidates_need_no_sandbox() -> None:
    assert grade(DATASET, []) == []
