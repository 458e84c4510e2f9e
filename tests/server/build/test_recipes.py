"""A checkpoint's digest holds the version of the code that makes it, so that code can move without a new build."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import TypeGuard

import pytest

import server.build.recipes
from configs.variant import Prune
from server.build.recipes import STEPS, out_of_date, pruned
from server.build.store import Checkpoint

PINNED = Path(__file__).with_name("recipes.json")
BUILDING = Path(server.build.recipes.__file__).parent
SOURCE = Checkpoint(Path("x"), "digest-of-the-source", memorised=False)


def code_digest(step: str) -> str:
    """SHA-256 of the lines of a step's files, without imports, docstrings, comments and blank lines."""
    lines: list[str] = []
    for name in STEPS[step].code:
        text = (BUILDING / name).read_text(encoding="utf-8")
        skipped = {
            number
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node)
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        lines += [
            line.strip()
            for number, line in enumerate(text.splitlines(), start=1)
            if number not in skipped and line.strip() and not line.strip().startswith("#")
        ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _is_docstring(node: ast.AST) -> TypeGuard[ast.Expr]:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@pytest.mark.parametrize("step", sorted(STEPS))
def test_code_of_a_recipe_changes_only_with_its_version(step: str) -> None:
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))
    now = {"version": STEPS[step].version, "code": code_digest(step)}
    assert pinned.get(step) == now, (
        f"the code of {step!r} changed: raise its version in server/build/recipes.py if that can change a checkpoint's "
        f"bytes, and in either case write {json.dumps(now)} into {PINNED.name}"
    )


def test_a_checkpoint_is_out_of_date_when_its_steps_version_was_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = pruned(SOURCE, Prune(last=1))
    assert out_of_date(recipe) is None
    raised = {
        **STEPS,
        "prune": server.build.recipes.Step(STEPS["prune"].version + 1, STEPS["prune"].packages, ()),
    }
    monkeypatch.setattr("server.build.recipes.STEPS", raised)
    assert out_of_date(recipe) == "the code that made it has changed"
    assert pruned(SOURCE, Prune(last=1)) != recipe


def test_a_recipe_of_before_versions_is_out_of_date() -> None:
    recipe = pruned(SOURCE, Prune(last=1))
    del recipe["step_version"]
    assert out_of_date({**recipe, "code": "0" * 64}) == "made by an older starwatt"
