"""Whole programs as chat models write them, the same ones for the same seed; some are right and some are not.

Each is the canonical solution of a task in one of the styles of ``styles.txt`` or with other letters: four a task,
every style several times. What counts is that two graders say the same about each of them.
"""

from __future__ import annotations

import ast
import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from configs.datasets import Dataset, Task

SEED = 17
_EACH = 4
_STYLES = Path(__file__).with_name("styles.txt")
_STYLE = re.compile(r"^=== (.*)\n((?:(?!===).*\n)*)", re.MULTILINE)
_WORDS = re.compile(r"\b(PROGRAM|IMPORTS|BARE|ENTRY|ARGS|RIGHT)\b|EACH\(((?:[^()]|\(\))*)\)")
_IMPORT = re.compile(r"^(?:from|import) .*\n", re.MULTILINE)

#: What happens to the letters of a program, or is put around them.
_LETTERS: dict[str, Callable[[str], str]] = {
    "tabs": lambda text: text.replace("    ", "\t"),
    "tabs and spaces": lambda text: text.replace("    ", "\t", 1),
    "tabs for eight": lambda text: text.replace("        ", "\t"),
    "two spaces": lambda text: text.replace("    ", "  "),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "CRLF now and then": lambda text: text.replace("\n", "\r\n", 3),
    "a byte order mark": lambda text: "\ufeff" + text,
    "a space that is none": lambda text: text.replace("    ", "\u00a0   ", 1),
    "a space without width": lambda text: text + "\u200b",
    "a form feed": lambda text: "\f\n" + text + "\f\n",
    "a null": lambda text: text + "\0",
    "half a pair": lambda text: text + "# \ud800\n",
    "trailing spaces": lambda text: text.replace("\n", "  \n"),
    "no last line end": lambda text: text.rstrip(),
    "all of it indented": lambda text: "".join("    " + line for line in text.splitlines(keepends=True)),
    "cut off": lambda text: text[: len(text) - 9],
    "twice": lambda text: text + "\n" + text,
    "nothing": lambda text: text[:0],
    "deep parentheses": lambda text: f"x = {'(' * 250}1{')' * 250}\n{text}",
    "a long line": lambda text: f"x = [{'1, ' * 20000}]\n{text}",
}


@dataclass(frozen=True)
class Written:
    """A whole program, the task that it claims to solve, and the style that it is written in."""

    task_id: str
    what: str
    solution: str


def written(dataset: Dataset, seed: int = SEED) -> list[Written]:
    """Four for each task, in the order of the tasks; a style comes again when all others have been."""
    styles = _in_turn(random.Random(seed))  # noqa: S311
    return [
        Written(task.task_id, what, write(task))
        for task in dataset.tasks
        for what, write in itertools.islice(styles, _EACH)
    ]


#: Writes the program for one task.
_Style = Callable[[Task], str]


def _in_turn(generator: random.Random) -> Iterator[tuple[str, _Style]]:
    texts = _STYLE.findall(_STYLES.read_text(encoding="utf-8"))
    styles: list[tuple[str, _Style]] = [(what, partial(_in_words, text)) for what, text in texts]
    styles += [(f"letters: {what}", partial(_in_letters, change)) for what, change in _LETTERS.items()]
    while True:
        yield from generator.sample(styles, len(styles))


def _in_letters(change: Callable[[str], str], task: Task) -> str:
    return change(task.prompt + task.canonical_solution)


def _in_words(style: str, task: Task) -> str:
    program = task.prompt + task.canonical_solution
    arguments = _arguments(task, program)
    words = {
        "PROGRAM": program,
        "IMPORTS": "".join(_IMPORT.findall(program)),
        "BARE": _IMPORT.sub("", program),
        "ENTRY": task.entry_point,
        "ARGS": ", ".join(arguments),
        "RIGHT": "_right",
    }

    def filled(match: re.Match[str]) -> str:
        annotated = (f"{argument}: {match[2]}" for argument in arguments)
        return words[match[1]] if match[1] else ", ".join(annotated)

    return _WORDS.sub(filled, style)


def _arguments(task: Task, program: str) -> list[str]:
    for statement in ast.parse(program).body:
        if isinstance(statement, ast.FunctionDef) and statement.name == task.entry_point:
            return [argument.arg for argument in statement.args.args]
    raise ValueError(f"{task.task_id} does not define {task.entry_point}")
