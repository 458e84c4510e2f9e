"""Odd results and odd modules are right here exactly where they are for evalplus, which is asked about each."""

from __future__ import annotations

from typing import Any

import pytest
from evalplus.eval import PASS, untrusted_check

from analysis.grading.grader import Program, judge_programs
from configs.datasets import Dataset, Task

IMPORTS = "import array, collections, collections.abc, decimal, enum, fractions, types\nimport numpy as np\n"
TASKS = (
    Task("t/int", "def f(x):\n", "f", "    return x + 1\n", ([4],), ([10],), 0.0),
    Task("t/float", "def f(x):\n", "f", "    return x / 2\n", ([2.0],), ([5.5],), 0.0),
    Task("t/floats", "def f(x):\n", "f", "    return [a / 2 for a in x]\n", ([[2.0, 4.0]],), ([[3.0]],), 0.0),
    Task("t/text", "def f(x):\n", "f", "    return x.upper()\n", (["ab"],), (["xyé"],), 0.0),
    Task("t/texts", "def f(x):\n", "f", "    return x.split()\n", (["a b"],), (["x y z"],), 0.0),
    Task("t/pair", "def f(x):\n", "f", "    return (x, x + 1)\n", ([1],), ([-4],), 0.0),
    Task(
        "t/counts", "def f(x):\n", "f", "    return {c: x.count(c) for c in x}\n", (["aab"],), (["xyz"],), 0.0
    ),
    Task("t/set", "def f(x):\n", "f", "    return set(x)\n", ([[1, 1, 2]],), ([[3]],), 0.0),
)
DATASET = Dataset("own", "5" * 64, TASKS)

CLASSES = """
class Array(np.ndarray): pass
class Float(np.float64): pass
class Integer(np.int64): pass
class Text(np.str_): pass
class Counts(collections.Counter): pass
class Ordered(collections.OrderedDict): pass
class Holder:
    def __init__(self, held): self.held = held
    def __getitem__(self, key): return self.held[key]
    def __iter__(self): return iter(self.held)
    def __len__(self): return len(self.held)
    def __contains__(self, one): return one in self.held
class Mapping(Holder, collections.abc.Mapping): pass
class Set(Holder, collections.abc.Set): pass
class Sequence(Holder, collections.abc.Sequence): pass
"""
#: What a right result is returned as, by the task.
RESULTS = {
    "t/int": (
        "np.int8({})", "np.array([[{}]])", "np.array({}).view(Array)", "Integer({})", "[{}]", "np.array([{0}, {0}])",
        "np.array({}, dtype=object)", "fractions.Fraction({})", "decimal.Decimal({})", "complex({})", "str({})",
        "np.ma.array([{}])", "enum.IntEnum('E', dict(A={})).A", "enum.Enum('E', dict(A={})).A",
    ),
    "t/float": ("Float({})", "Float({} + 1e-9)", "np.float32({})", "np.longdouble({})", "fractions.Fraction({})"),
    "t/floats": (
        "np.array({})", "np.array({}).view(Array)", "np.array({}) + 1e-9", "tuple({})", "array.array('d', {})",
        "[np.float64(a) for a in {}]", "[np.array([a + 1e-9]) for a in {}]", "[fractions.Fraction(a) for a in {}]",
        "collections.deque({})", "collections.UserList({})", "np.array({})[:, None]", "Sequence({})",
    ),
    "t/text": (
        "np.str_({})", "Text({})", "np.array({})", "np.array([{}])", "np.array({}, dtype=object)", "np.char.upper({})",
        "collections.UserString({})", "np.bytes_({}.encode())", "list({})",
    ),
    "t/texts": (
        "np.char.split(x)", "np.char.split(x).item()", "np.char.split([x])", "np.array({})", "np.array([{}])",
        "np.array({}, dtype=object)", "np.array({}).view(np.chararray)", "[np.str_(a) for a in {}]",
    ),
    "t/pair": (
        "(np.array([x]), x + 1)", "(np.array(x, dtype=object), x + 1)", "np.array({})", "range(x, x + 2)",
        "(np.array(x, dtype=object), np.array('a'))", "collections.namedtuple('P', 'a b')(*{})", "list({})",
    ),
    "t/counts": (
        "Counts({})", "Ordered({})", "Mapping({})", "collections.UserDict({})", "collections.ChainMap({})",
        "types.MappingProxyType({})", "np.array({}, dtype=object)", "{}.items()", "list({}.items())",
    ),
    "t/set": (
        "Set({})", "dict.fromkeys(x).keys()", "collections.UserDict.fromkeys(x).keys()", "frozenset({})",
        "collections.abc.ItemsView(dict.fromkeys(x))", "list({})", "np.array(sorted({}))",
    ),
}  # fmt: skip
#: What is done before a right function, which the names that evalplus takes away may spoil.
BEFORE = (
    "import json, traceback\ntry:\n    json.loads('x')\nexcept ValueError:\n    traceback.format_exc()",
    "import inspect, json\ninspect.getsource(json.loads)",
    "import linecache\nassert linecache.getline('/dev/null', 1) == ''",
    "import io, tarfile\ntarfile.open(fileobj=io.BytesIO(), mode='w').close()",
    "import pathlib\npathlib.Path('/dev/null').read_text()",
    "import shutil\nshutil.rmtree('nothing', ignore_errors=True)",
    "import asyncio, concurrent.futures, unittest.mock",
    "import multiprocessing.pool, urllib.request, logging.handlers, importlib.resources, zipfile, pdb",
    "assert (lambda: 0).__code__.co_filename == '<string>'",
    "import builtins\nbuiltins.open('/dev/null')",
)
CASES = [(task, result) for task in TASKS for result in RESULTS[task.task_id]]


def program(task: Task, result: str) -> str:
    right = f"{task.prompt}{task.canonical_solution}right = f\n"
    return f"{IMPORTS}{CLASSES}{right}def f(x):\n    return {result.format('right(x)')}\n"


def evalplus_passes(task: Task, text: str) -> bool:
    names: dict[str, Any] = {}
    exec(task.prompt + task.canonical_solution, names)  # noqa: S102 -- our own
    inputs = [*task.base_inputs, *task.plus_inputs]
    expected = [names["f"](*given) for given in inputs]
    status, _ = untrusted_check("humaneval", text, inputs, "f", expected, 0, [9.0, 9.0], fast_check=True)
    return bool(status == PASS)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(300)
def test_results_of_odd_types_are_judged_as_evalplus_judges_them() -> None:
    agree([(task, program(task, result)) for task, result in CASES])


@pytest.mark.usefixtures("sandbox")
def test_modules_behind_the_guard_work_as_they_do_under_evalplus() -> None:
    agree([(TASKS[0], f"{before}\n{TASKS[0].prompt}{TASKS[0].canonical_solution}") for before in BEFORE])


def agree(texts: list[tuple[Task, str]]) -> None:
    """Fail where a verdict is another than evalplus', and where none passes or none fails."""
    verdicts = judge_programs(DATASET, [Program(task.task_id, text) for task, text in texts])
    differ = [
        (task.task_id, text[-100:], ours)
        for (task, text), ours in zip(texts, verdicts, strict=True)
        if ours.plus != evalplus_passes(task, text)
    ]
    assert differ == []
    assert {True, False} == {verdict.plus for verdict in verdicts}, "these say nothing"
