"""The sanitiser does what evalplus' own does, and survives what it is given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from evalplus.sanitize import sanitize as evalplus_sanitize

from analysis.grading import Candidate, grade
from analysis.grading.isolation.sandbox import Sandbox
from analysis.grading.sanitizer import sanitize
from configs.datasets import load_dataset

DATASET = load_dataset("starwatt-24")
BOUNDED = DATASET.by_id["starwatt/15"]
PROMPT = BOUNDED.prompt
RIGHT = f"{PROMPT}{BOUNDED.canonical_solution}"
TEXTS = [
    RIGHT,
    f"{RIGHT}\n\n\n",
    f"Here is the answer:\n```python\n{RIGHT}```\nIt takes the middle one.",
    f"{RIGHT}\nprint(bounded(1, 2, 3))\nassert bounded(1, 2, 3) == 2\n",
    f"{RIGHT}\ndef other(x):\n    return x\n\ndef half(",
    f"import math\nfrom os import path\n{RIGHT}\nclass Unused:\n    pass\n",
    f"from __future__ import annotations\nfrom typing import *\nlimit: Unknown = 3\n{RIGHT}",
    f"@dataclass(slots=True)\nclass Used:\n    x: Unknown\n{RIGHT.replace('return ', 'Used; return ')}",
    f"type Whole = int\n{RIGHT}",
    f"\ufeff{RIGHT}".replace("\n", "\r\n"),
    f"LIMIT = 3\ndef helper(x):\n    return x + LIMIT\n{RIGHT.replace('return ', 'return helper(0) + ')}",
    f"{PROMPT}    return max(low, min(high, value",
    f"{PROMPT}    if value:\n        return low\n    return (((\n",
    f"{PROMPT}    pass\ndel bounded\n",
    "\n\n",
    "",
    "no Python at all, (",
    "x = 1",
    "a\n\nb = (\n\nc = 1\nd = 2\n)",
]


@pytest.fixture(scope="module")
def box(sandbox: None) -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_is_what_evalplus_makes_of_it(text: str, box: Sandbox) -> None:
    assert sanitize(box, text, "bounded").source == evalplus_sanitize(text, "bounded")


@pytest.mark.parametrize("task", DATASET.tasks, ids=lambda task: task.task_id)
def test_half_an_answer_is_cut_as_evalplus_cuts_it(task: object, box: Sandbox) -> None:
    program = task.prompt + task.canonical_solution  # type: ignore[attr-defined]
    text, entry_point = program[: len(program) - 9] + "\n    (", task.entry_point  # type: ignore[attr-defined]
    assert sanitize(box, text, entry_point).source == evalplus_sanitize(text, entry_point)


@pytest.mark.parametrize(
    "text", ["(" * 10**5, "-" * 10**5 + "1", "\0", "def f():\n" * 200], ids=lambda t: t[:3]
)
def test_what_parsers_fall_over_is_left_as_it_is_and_the_next_one_is_served(text: str, box: Sandbox) -> None:
    program = sanitize(box, text, "bounded").source
    assert program in (text, "def f():", "def f():\n" * 200)
    solution = sanitize(box, RIGHT, "bounded")
    assert (solution.source, solution.problem) == (evalplus_sanitize(RIGHT, "bounded"), None)


@pytest.mark.usefixtures("sandbox")
def test_an_answer_that_stopped_in_the_middle_of_the_next_function_counts() -> None:
    rambling = f"\n{BOUNDED.canonical_solution}\n@decorated\nasync def other(x, y"
    (result,) = grade(DATASET, [Candidate(1, BOUNDED.task_id, rambling)])
    assert (result.base, result.plus, result.reason) == (True, True, "passed"), result.detail
