"""Wrong variants of canonical solutions, the same ones for the same seed.

Five for each task: an operator changed, a whole number or a bound off by one, two constant answers, and the right
answer in another form (another type, or off by less and by more than the tolerance). Some are right nevertheless:
what counts is that two graders say the same about each of them.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from configs.datasets import Dataset, Task

SEED = 20

_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add, ast.FloorDiv),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.FloorDiv, ast.Mult),
    ast.Pow: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq, ast.GtE),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
_CONSTANTS = ("None", "0", "1", "-1", "0.0", "''", "[]", "()", "{}", "True", "False", "float('nan')")
_FORMS = {
    "the other sequence": "tuple(x) if type(x) is list else list(x) if type(x) is tuple else (x,)",
    "a float": "float(x) if isinstance(x, (bool, int)) else x",
    "a truth value": "bool(x)",
    "off by 1e-9": "x + 1e-9 if isinstance(x, float) else x",
    "off by a thousandth": "x * 1.001 if isinstance(x, float) else x",
    "numpy": "numpy.array(x)",
    "numpy's scalars": "[numpy.array(i)[()] for i in x] if type(x) is list else numpy.array(x)[()]",
    "a subclass": "type('N', (type(x),), {})(x) if type(x) in (int, float, str, list, tuple) else x",
    "a generator": "(i for i in x) if isinstance(x, (list, tuple)) else x",
    "text": "str(x)",
    "a part": "x[:-1] if isinstance(x, (list, tuple, str)) else x",
}


#: Makes a mutant: the change in words (None if it changes nothing here) and the program.
_Variant = Callable[[], tuple[str | None, str]]


@dataclass(frozen=True)
class Mutant:
    """A program that is like the canonical solution but for one thing."""

    task_id: str
    kind: str
    what: str
    solution: str


def mutants(dataset: Dataset, seed: int = SEED) -> list[Mutant]:
    """Five for each task, in the order of the tasks; all differ from each other and from the original."""
    found = []
    for task in dataset.tasks:
        generator = random.Random(f"{seed} {task.task_id}")  # noqa: S311
        found += _of_task(task, generator)
    return found


def _of_task(task: Task, generator: random.Random) -> list[Mutant]:
    program = ast.parse(task.prompt + task.canonical_solution)
    seen = {ast.unparse(program)}
    chosen: list[Mutant] = []

    def choose(kind: str, variants: Sequence[_Variant]) -> bool:
        for variant in generator.sample(variants, len(variants)):
            what, solution = variant()
            if what and solution not in seen:
                seen.add(solution)
                chosen.append(Mutant(task.task_id, kind, what, solution))
                return True
        return False

    changes = {kind: _changes(program, change) for kind, change in _CHANGES.items()}
    constants = [partial(_answering, task, program, text) for text in _CONSTANTS]
    for kind, variants in changes.items():
        # Not every solution has an operator or a number to change: it gets another of the other kind.
        other = next(name for name in changes if name != kind)
        _ = choose(kind, variants) or choose(other, changes[other]) or choose("constant", constants)
    choose("constant", constants)
    choose("constant", constants)
    choose("form", [partial(_in_form, task, what) for what in _FORMS])
    return chosen


def _changes(program: ast.Module, change: Callable[[ast.AST, int], str | None]) -> list[_Variant]:
    """Every program that differs in one node inside a function, with the change in words, made when called."""

    def make(index: int, choice: int) -> tuple[str | None, str]:
        mutated = copy.deepcopy(program)
        what = change(_nodes(mutated)[index], choice)
        return what, ast.unparse(ast.fix_missing_locations(mutated))

    return [partial(make, index, choice) for index in range(len(_nodes(program))) for choice in range(2)]


def _nodes(program: ast.Module) -> list[ast.AST]:
    """What can be changed: the nodes inside of functions that are no plain names or strings."""
    functions = [statement for statement in program.body if isinstance(statement, ast.FunctionDef)]
    nodes = [node for function in functions for part in function.body for node in ast.walk(part)]
    return [node for node in nodes if isinstance(node, _CHANGEABLE)]


def _operator_change(node: ast.AST, choice: int) -> str | None:
    """Replace the operator of this node by its first or second substitute; None if there is none."""
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        operator: ast.AST = node.op
    elif isinstance(node, ast.Compare):
        operator = node.ops[-1]
    else:
        return None
    substitutes = _OPERATORS.get(type(operator), ())
    if choice >= len(substitutes):
        return None
    substitute: Any = substitutes[choice]()
    if isinstance(node, ast.Compare):
        node.ops[-1] = substitute
    else:
        node.op = substitute
    return f"{type(operator).__name__} becomes {type(substitute).__name__}"


def _off_by_one(node: ast.AST, choice: int) -> str | None:
    """Make a whole number, or the last bound of a range, one larger or smaller; None for every other node."""
    step = (1, -1)[choice]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        node.value += step
        return f"a number off by {step}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        last = min(1, len(node.args) - 1)
        node.args[last] = ast.BinOp(node.args[last], ast.Add(), ast.Constant(step))
        return f"a range's end off by {step}"
    return None


_CHANGES = {"operator": _operator_change, "off_by_one": _off_by_one}
_CHANGEABLE = (ast.BinOp, ast.BoolOp, ast.AugAssign, ast.Compare, ast.Constant, ast.Call)


def _in_form(task: Task, what: str) -> tuple[str, str]:
    return what, (
        f"{task.prompt}{task.canonical_solution}\nimport numpy\n_right = {task.entry_point}\n"
        f"def {task.entry_point}(*arguments):\n    x = _right(*arguments)\n    return {_FORMS[what]}\n"
    )


def _answering(task: Task, program: ast.Module, text: str) -> tuple[str, str]:
    mutated = copy.deepcopy(program)
    for statement in mutated.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == task.entry_point:
            statement.body = [ast.Return(ast.parse(text, mode="eval").body)]
    return text, ast.unparse(ast.fix_missing_locations(mutated))
