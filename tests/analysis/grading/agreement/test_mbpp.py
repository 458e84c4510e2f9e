"""MBPP+ is judged as evalplus judges it: its types of arguments, its special tasks, and whole programs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from evalplus.data.mbpp import mbpp_deserialize_inputs
from evalplus.eval import PASS, _special_oracle, untrusted_check

from analysis.grading import grade_samples, special
from analysis.grading.arguments import encoded_arguments
from analysis.grading.grader import Program, judge_programs
from analysis.grading.isolation import inner
from analysis.grading.oracle import Oracle
from analysis.grading.values import Digest, decode
from benchmarks.grading.evalplus_checks import checked
from benchmarks.grading.evalplus_runs import Sample, Verdict
from benchmarks.grading.mutants import Mutant, mutants
from configs.datasets import Dataset, Task

pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in canonical solutions

SEED = 20
#: Those whose canonical solutions take most of the time of all 378 together.
HEAVY = frozenset(f"Mbpp/{number}" for number in (123, 255, 271, 389, 392, 589, 592, 599, 603, 630))
GENERATOR = "(i for i in [1, 2])"


def test_the_special_tasks_are_evalplus_own() -> None:
    assert set(_special_oracle.MBPP_OUTPUT_SET_EQ_TASKS) == special.AS_SETS
    assert set(_special_oracle.MBPP_OUTPUT_NOT_NONE_TASKS) == special.NOT_NONE


# The function, its arguments, what is expected, and what a program returns, as it writes it.
CASES: list[tuple[str, list[Any], Any, str]] = [
    ("are_equivalent", [36, 57], False, "True"),
    ("are_equivalent", [36, 57], False, "None"),
    ("sum_div", [8], 7, "7"),
    ("sum_div", [8], 7, "0"),
    ("sum_div", [8], 7, "8"),
    ("surface_Area", [3, 4], 33, "33"),
    ("surface_Area", [3, 4], 33, "35"),
    ("surface_Area", [3, 4], 33, "34"),
    ("surface_Area", [3, 4], 33, "type('N', (int,), {})(35)"),
    ("surface_Area", [3, 4], 33, "'x'"),
    ("digit_distance_nums", [1, 256], 12, "12"),
    ("digit_distance_nums", [1, 256], 99, "12"),
    ("digit_distance_nums", [1, 256], 99, "13"),
    ("find_zero", [[-1, 1]], 1.0, "1.0"),
    ("find_zero", [[-6, 11, -6, 1]], 3.0, "2.0"),
    ("similar_elements", [[1], [1]], (1, 2), "(2, 1, 1)"),
    ("similar_elements", [[1], [1]], (1, 2), "[2, 1]"),
    ("similar_elements", [[1], [1]], (1, 2), "{1, 2}"),
    ("similar_elements", [[1], [1]], (1, 2), "{1: 0, 2: 0}"),
    ("similar_elements", [[1], [1]], (1, 2), "{1: 0, 2: 0}.keys()"),
    ("similar_elements", [[1], [1]], (1, 2), GENERATOR),
    ("similar_elements", [[1], [1]], (1, 2), "map(int, '12')"),
    ("similar_elements", [[1], [1]], (1, 2), "collections.deque([1, 2])"),
    ("similar_elements", [[1], [1]], (1, 2), "np.array([2, 1])"),
    ("similar_elements", [[1], [1]], (1, 2), "type('L', (list,), {})([1, 2])"),
    ("similar_elements", [[1], [1]], (1, 2), "[1]"),
    ("similar_elements", [[1], [1]], (1, 2), "[[1], [2]]"),
    ("similar_elements", [[1], [1]], (1, 2), "12"),
    ("similar_elements", [[1], [1]], ("a", "b"), "'ab'"),
    ("another", [[1], [1]], (1, 2), "(2, 1)"),
    ("check_str", ["annie"], True, "re.match('a', 'annie')"),
    ("check_str", ["annie"], True, "None"),
    ("check_str", ["annie"], False, "None"),
    ("check_str", ["annie"], True, "'x'"),
    ("check_str", ["annie"], True, "True"),
    ("check_str", ["annie"], True, "False"),
    ("check_str", ["annie"], True, "0"),
    ("check_str", ["annie"], False, "''"),
]
_IMPORTS = "import collections, re\nimport numpy as np\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[2]} {case[3]}")
def test_a_special_task_is_judged_as_evalplus_judges_it(case: tuple[str, list[Any], Any, str]) -> None:
    """The output goes through the sandbox's encoding, and both sides' own checks."""
    entry_point, arguments, expected, form = case
    code = f"{_IMPORTS}def {entry_point}(*arguments):\n    return {form}\n"
    status, _ = untrusted_check("mbpp", code, [arguments], entry_point, [expected], 0, [9.0], fast_check=True)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 -- our own list
    try:
        sent = inner.in_form(names[entry_point](*arguments), special.output_form("mbpp", entry_point))
        output = decode(json.loads(json.dumps(inner.encode(sent))))
    except TypeError:  # the run ends so
        assert status != PASS
        return
    assert Oracle(entry_point, 0, "mbpp").accepts(arguments, output, expected) == (status == PASS)


TUPLES = Task(
    "Mbpp/2", '"""\nShared elements.\n"""\n', "similar_elements",
    "\ndef similar_elements(a, b):\n    assert type(a) is tuple\n    return tuple(set(a) & set(b))\n",
    ([[3, 4, 5], [5, 7, 4]],), ([[], [1]],), 0.0, suite="mbpp",
)  # fmt: skip
KINDS = [
    TUPLES,
    Task("Mbpp/115", "p", "f", "s", ([[[1, 2], []]],), (), 0.0, suite="mbpp"),
    Task("Mbpp/124", "p", "f", "s", (["0", "1+2j"],), (), 0.0, suite="mbpp"),
    Task("Mbpp/252", "p", "f", "s", (["inf"],), (), 0.0, suite="mbpp"),
    Task("Mbpp/722", "p", "f", "s", ([{"a": [1, 2]}, 3, 10**20],), (), 0.0, suite="mbpp"),
    Task("Mbpp/791", "p", "f", "s", ([[1, [2, [3]]]],), (), 0.0, suite="mbpp"),
    Task(
        "Mbpp/4", "p", "f", "s", ([[float(n) for n in range(1500)] + [7], True, None],), (), 0.0, suite="mbpp"
    ),
]


def arguments_of(task: Task, inputs: tuple[list[Any], ...]) -> list[Any]:
    """As a candidate gets them."""
    found: list[Any] = inner.untagged(["l", json.loads(encoded_arguments(task, inputs))])
    return found


@pytest.mark.parametrize("task", KINDS, ids=lambda task: task.task_id)
def test_arguments_reach_a_candidate_with_their_types(task: Task) -> None:
    theirs = [list(given) for given in mbpp_deserialize_inputs(task.task_id, list(task.base_inputs))]
    assert repr(arguments_of(task, task.base_inputs)) == repr(theirs)


def test_the_arguments_of_every_task_are_evalplus_own(mbpp: Dataset) -> None:
    for task in mbpp.tasks:
        for inputs in (task.base_inputs, task.plus_inputs[:20]):
            theirs = [list(given) for given in mbpp_deserialize_inputs(task.task_id, list(inputs))]
            assert repr(arguments_of(task, inputs)) == repr(theirs), task.task_id


def test_what_is_too_long_to_be_sent_is_compared_by_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner, "MANY", 3)
    monkeypatch.setattr(inner, "HUGE", 30)

    def sent(value: Any) -> Any:
        return decode(json.loads(json.dumps(inner.encode_result(value))))

    values: list[Any] = [[("a", n)] * 2 for n in range(9)]
    assert isinstance(sent(values), Digest)
    assert sent(values) == sent([list(value) for value in values])
    assert sent(values) != sent(tuple(values))
    assert sent(values) != sent([*values[:-1], [("a", 9)] * 2])
    assert sent([1, 2]) == [1, 2]
    assert Oracle("f", 0, "mbpp").accepts([], sent(values), sent(values))


@pytest.mark.usefixtures("sandbox")
def test_samples_with_ids_of_mbpp_are_graded(tmp_path: Path) -> None:
    dataset = Dataset("mbpp+", "5" * 64, (TUPLES,))
    wrong = "\ndef similar_elements(a, b):\n    return [x for x in a if x not in b]\n"
    lines = [
        {"task_id": "Mbpp/2", "solution": TUPLES.canonical_solution},
        {"task_id": "Mbpp/2", "completion": "def similar_elements(a, b):\n    return filter(b.__contains__, a)\n"},
        {"task_id": "Mbpp/2", "solution": f"Here:\n```python\n{TUPLES.canonical_solution}\n```"},
        {"task_id": "Mbpp/2", "solution": wrong},
    ]  # fmt: skip
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    plain = grade_samples(tmp_path / "samples.jsonl", dataset)
    assert [grade["plus"] for grade in plain["grades"]] == [True, True, False, False]
    cleaned = grade_samples(tmp_path / "samples.jsonl", dataset, sanitize=True)
    assert [grade["plus"] for grade in cleaned["grades"]] == [True, True, True, False]


def test_the_file_of_evalplus_is_read_with_all_its_tasks(mbpp: Dataset) -> None:
    assert (mbpp.name, len(mbpp.tasks)) == ("mbpp+", 378)
    assert {task.suite for task in mbpp.tasks} == {"mbpp"}


def programs(dataset: Dataset) -> list[tuple[str, Sample]]:
    """Every canonical solution, and one of each task's five mutants, each with its kind."""
    generator = random.Random(SEED)  # noqa: S311
    wrong: dict[str, list[Mutant]] = {}
    for changed in mutants(dataset):
        wrong.setdefault(changed.task_id, []).append(changed)
    differing = []
    for task in dataset.tasks:
        differing.append(("canonical", Sample(task.task_id, task.prompt + task.canonical_solution)))
        mutant = generator.choice(wrong[task.task_id])
        differing.append((mutant.kind, Sample(task.task_id, mutant.solution)))
    return differing


def differences(
    dataset: Dataset, samples: list[Sample], theirs: list[Verdict], cache: Path
) -> list[tuple[str, Verdict, str]]:
    """Programs on which the two graders do not agree, base or base and plus."""
    ours = judge_programs(
        dataset, [Program(sample.task_id, sample.solution) for sample in samples], cache_dir=cache
    )
    return [
        (one.solution, their, our.detail)
        for one, their, our in zip(samples, theirs, ours, strict=True)
        if (our.base, our.plus) != (their[0] == "pass", their == ("pass", "pass"))
    ]


@pytest.mark.usefixtures("sandbox")
def test_programs_for_mbpp_get_the_verdict_that_evalplus_gives(
    mbpp: Dataset, mbpp_file: Path, answers_cache: Path
) -> None:
    """Those of special tasks, and some others, of kinds that end by themselves."""
    by_rule = special.AS_SETS | special.NOT_NONE
    by_rule |= {"are_equivalent", "sum_div", "surface_Area", "digit_distance_nums"}
    ends = [one for kind, one in programs(mbpp) if kind in ("canonical", "constant", "form")]
    light = [program for program in ends if program.task_id not in HEAVY]
    named = [program for program in light if mbpp.by_id[program.task_id].entry_point in by_rule]
    samples = named + random.Random(SEED).sample(light, 24)  # noqa: S311
    theirs = checked(samples, mbpp_file)
    assert {("pass", "pass"), ("fail", "fail")} <= set(theirs)
    assert differences(mbpp, samples, theirs, answers_cache) == []


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(7200)
def test_every_canonical_solution_and_a_mutant_of_each_get_the_verdict_that_evalplus_gives(
    mbpp: Dataset, mbpp_file: Path, answers_cache: Path
) -> None:
    samples = [one for _, one in programs(mbpp)]
    theirs = checked(samples, mbpp_file)
    assert theirs[::2] == [("pass", "pass")] * 378
    assert differences(mbpp, samples, theirs, answers_cache) == []


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(1800)
def test_all_378_canonical_solutions_of_mbpp_pass(mbpp: Dataset, answers_cache: Path) -> None:
    right = [Program(task.task_id, task.prompt + task.canonical_solution) for task in mbpp.tasks]
    verdicts = judge_programs(mbpp, right, cache_dir=answers_cache)
    assert [sample.task_id for sample, verdict in zip(right, verdicts, strict=True) if not verdict.plus] == []
