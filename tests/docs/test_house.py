"""The house stays as docs/design.md has it: no drawers of files, no long functions, none with too many ways through."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import chain

from tests.docs.pages import ROOT

ROOMS = ("configs", "traces", "server", "loadgen", "analysis", "study", "starwatt")
MOST_FILES, MOST_LINES, MOST_LINES_P95, MOST_WAYS = 20, 60, 30, 15
ENCODERS = {
    "analysis/grading/isolation/inner.py: encode": "a line a kind of value; it runs alone in the sandbox"
}
"""Functions with more ways through than others, and why."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_A_WAY_EACH = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert)


@cache
def functions() -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of the product, by ``file: name (line)``."""
    found = {}
    for path in chain.from_iterable((ROOT / room).rglob("*.py") for room in ROOMS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, _FUNCTIONS):
                found[f"{path.relative_to(ROOT)}: {node.name} ({node.lineno})"] = node
    return found


def lines_of(function: ast.AST) -> int:
    """From ``def`` to its last line."""
    assert isinstance(function, _FUNCTIONS)
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def ways_through(function: ast.AST) -> int:
    """McCabe's number, with a way for each ``and``, ``or``, ``case`` and comprehension; those within count apart."""
    return 1 + sum(map(_ways, _within(function)))


def _within(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _FUNCTIONS):
            yield child
            yield from _within(child)


def _ways(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, (*_A_WAY_EACH, ast.match_case)))


def test_no_folder_of_code_is_a_drawer() -> None:
    folders = Counter(path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    assert {str(folder): files for folder, files in folders.items() if files > MOST_FILES} == {}


def test_functions_are_short() -> None:
    lengths = {name: lines_of(function) for name, function in functions().items()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
    assert sorted(lengths.values())[int(0.95 * len(lengths))] <= MOST_LINES_P95


def test_few_ways_lead_through_a_function_that_encodes_nothing() -> None:
    ways = {name.partition(" (")[0]: ways_through(function) for name, function in functions().items()}
    many = {name: count for name, count in ways.items() if count > MOST_WAYS}
    assert many.keys() == ENCODERS.keys(), many


def test_what_is_counted_would_be_found() -> None:
    [function] = ast.parse(
        "def f(a):\n    for b in [c for c in a if c]:\n        if b and a or c:\n            return b\n"
    ).body
    assert (lines_of(function), ways_through(function)) == (4, 7)


def test_every_folder_of_code_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == folders


def test_no_comment_is_stranded_on_a_closing_bracket() -> None:
    stranded = re.compile(r"\s*[)\]}]+[,:]*  # (?!fmt|noqa|type)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in chain.from_iterable((ROOT / room).rglob("*.py") for room in ROOMS)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if stranded.match(line)
    ]
    assert found == []
