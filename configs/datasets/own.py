"""Read own prompts: a JSON Lines file, each line an object with a ``prompt`` and, to be graded, its tests.

Tests are those of HumanEval+'s format: ``entry_point``, ``canonical_solution`` and lists of arguments; what is expected
is what the canonical solution returns. A file has tests for every prompt or for none, so that a share of solved tasks
is always of all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from configs.datasets.rows import Inputs, checked_object, lines_of
from configs.files.strict import MOST_TOKENS, Many, StrictModel, checked_line, inconsistent
from starwatt_errors import UsageError

SUFFIXES = (".jsonl", ".jsonl.gz")
FORM = "the path of a .jsonl file of prompts"
_TESTS = ("entry_point", "canonical_solution", "base_input")


def _line_or_nothing(value: str) -> str:
    return checked_line(value) if value else value


class OwnPrompt(StrictModel):
    """One line of a file of own prompts."""

    prompt: str = Field(min_length=1, description="What is sent; without tests exactly as it stands here")
    task_id: Annotated[str, AfterValidator(_line_or_nothing)] = Field(
        default="", description="Its name in tables, each once; own/0, own/1, … unless given"
    )
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        le=MOST_TOKENS,
        description="The longest answer to this prompt, where the study's is longer",
    )
    stop: Many[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None,
        max_length=32,
        description="Strings that end an answer; null: none. Prompts with tests have those of the prompt format",
    )
    entry_point: str | None = Field(
        default=None, min_length=1, description="Tests: the function that is called"
    )
    canonical_solution: str | None = Field(
        default=None,
        min_length=1,
        description="Tests: the body after the prompt; what it returns is expected",
    )
    base_input: Inputs | None = Field(default=None, min_length=1, description="Tests: lists of arguments")
    plus_input: Inputs = Field(default=(), description="Tests: more of them, for base and plus")
    atol: float = Field(
        default=0.0, ge=0, description="Tests: tolerance of floats; 0: exact, but as evalplus does"
    )
    contract: str | None = Field(default=None, description="Of HumanEval+, and not used")
    test: str | None = Field(default=None, description="Of HumanEval, and not used: base_input is")

    @model_validator(mode="after")
    def _whole(self) -> OwnPrompt:
        given = [name for name in _TESTS if getattr(self, name) is not None]
        if given and len(given) < len(_TESTS):
            missing = next(name for name in _TESTS if name not in given)
            raise ValueError(f"tests take {', '.join(_TESTS)} together; {missing} is missing")
        if not given and (self.plus_input or self.test is not None):
            raise ValueError(
                f"tests take {', '.join(_TESTS)}: a test function, as plain HumanEval has it, is not run here"
            )
        if given and self.stop is not None:
            raise inconsistent(
                "stop", "stop strings of a prompt with tests are those of the prompt format: leave stop out"
            )
        return self

    @property
    def has_tests(self) -> bool:
        """Say whether an answer can be graded."""
        return self.entry_point is not None

    def content(self) -> dict[str, Any]:
        """Return the fields that answers and verdicts depend on."""
        return self.model_dump(mode="json", exclude={"contract", "test"}, exclude_none=True)


def is_own(name: str) -> bool:
    """Say whether a data set's name is a file of own prompts."""
    return name.endswith(SUFFIXES)


def read_own(path: Path) -> list[OwnPrompt]:
    """Return the prompts of a file, named ``own/0``, ``own/1``, … where it does not name them.

    Raises:
        UsageError: the file is missing, a line is wrong (file, line and field), or only some prompts have tests.
    """
    prompts: list[OwnPrompt] = []
    lines: dict[str, int] = {}
    for number, text in lines_of(path):
        where = f"{path}:{number}"
        _, prompt = checked_object(where, text, OwnPrompt, "prompt")
        prompt = prompt if prompt.task_id else prompt.model_copy(update={"task_id": f"own/{len(prompts)}"})
        if prompt.task_id in lines:
            raise UsageError(
                f"{where}: task_id: {prompt.task_id!r} is named already, in line {lines[prompt.task_id]}"
            )
        if prompts and prompt.has_tests != prompts[0].has_tests:
            has = (
                "this line has tests, those before it have none"
                if prompt.has_tests
                else "this line has no tests"
            )
            raise UsageError(f"{where}: {has}: give tests to every prompt or to none, or make two files")
        lines[prompt.task_id] = number
        prompts.append(prompt)
    if not prompts:
        raise UsageError(
            f'{path}: holds no prompt: one JSON object a line, such as {{"prompt": "def add(a, b):"}}'
        )
    return prompts


def line_numbers(path: Path) -> list[int]:
    """Return the line numbers of a file's prompts, in their order."""
    return [number for number, _ in lines_of(path)]


def text_of(prompts: list[OwnPrompt]) -> str:
    """Return the prompts as JSON Lines, all of them named: what a run keeps."""
    return "".join(json.dumps(prompt.content(), ensure_ascii=False) + "\n" for prompt in prompts)
