"""Load a task set: the bundled ``starwatt-24``, HumanEval+ and MBPP+ from where evalplus keeps them, or own prompts.

The first three come in evalplus' own format, one JSON object a line: ``task_id``, ``prompt``, ``entry_point``,
``canonical_solution``, ``base_input``, ``plus_input`` and ``atol``. Expected outputs are not in the file:
they are what the canonical solution returns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from configs.datasets.evalplus_files import EVALPLUS_FILES, MBPP_PLUS
from configs.datasets.own import FORM, is_own, read_own
from configs.datasets.releases import name_of_content, refuse_doubles
from configs.files.strict import Line
from starwatt_errors import UsageError

DATASETS: tuple[str, ...] = ("starwatt-24", *EVALPLUS_FILES)

Suite = Literal["humaneval", "mbpp"]
_HASHED_FIELDS = (
    "task_id", "prompt", "entry_point", "canonical_solution", "base_input", "plus_input", "atol",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One programming task.

    ``prompt`` ends after the docstring and ``canonical_solution`` is the body that follows it; in the suite ``mbpp``
    the prompt is a docstring alone, and the solution the whole function. Each of ``base_inputs`` and ``plus_inputs`` is
    one list of positional arguments, as JSON has them. ``atol`` is the absolute tolerance of comparing floats; 0 means
    exact, but evalplus' rules relax it where a float is expected. ``suite`` says which of evalplus' rules hold.

    Without tests ``entry_point`` and ``canonical_solution`` are empty, and the prompt is sent as it is, with ``stop``
    as the only stop strings. ``max_tokens`` shortens the longest answer.
    """

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    base_inputs: tuple[list[Any], ...]
    plus_inputs: tuple[list[Any], ...]
    atol: float
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    suite: Suite = "humaneval"

    @property
    def has_tests(self) -> bool:
        """Say whether a completion can be graded."""
        return bool(self.entry_point)


@dataclass(frozen=True)
class Dataset:
    """A task set; ``sha256`` is over the content that prompts and verdicts depend on, and ``name`` is that content's:
    ``humaneval+ (modified)`` where it is that of no release."""

    name: str
    sha256: str
    tasks: tuple[Task, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Task]:
        """Return the tasks by their ``task_id``."""
        return MappingProxyType({task.task_id: task for task in self.tasks})

    @property
    def has_tests(self) -> bool:
        """Say whether completions can be graded; own prompts have tests all of them or none."""
        return all(task.has_tests for task in self.tasks)


def load_dataset(name: str) -> Dataset:
    """Load the task set of that name, or the file of own prompts that it is the path of.

    Raises ``UsageError`` for an unknown name (listing the known ones), where evalplus' data set can neither be
    read nor downloaded (saying what to set), and where a file of own prompts is wrong (with its line).
    """
    check_name(name)
    if is_own(name):
        contents = [prompt.content() for prompt in read_own(Path(name))]
        return Dataset(name=Path(name).name, sha256=_sha256(contents), tasks=tuple(map(_task, contents)))
    if name == "starwatt-24":
        path = Path(__file__).with_name("starwatt-24.jsonl")
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        records = EVALPLUS_FILES[name].records()
    try:
        refuse_doubles(record["task_id"] for record in records)
    except UsageError as error:
        raise UsageError(f"the dataset {name} {error}") from error
    digest = _content_sha256(records)
    suite: Suite = "mbpp" if name == MBPP_PLUS.name else "humaneval"
    return Dataset(
        name=name_of_content(name, digest),
        sha256=digest,
        tasks=tuple(_task(record, suite) for record in records),
    )


def check_name(name: str) -> None:
    """Raises ``UsageError`` where no task set has that name, and it is no path of own prompts."""
    if name not in DATASETS and not is_own(name):
        raise UsageError(f"takes one of: {', '.join(DATASETS)}, or {FORM} (given: {name!r})")


def _known(name: str) -> str:
    try:
        check_name(name)
    except UsageError as error:
        raise ValueError(str(error).partition(" (given")[0]) from error
    return name


DatasetName = Annotated[Line, AfterValidator(_known)]
"""In a file: a task set's name, or the path of own prompts."""


def check_flag(name: str) -> None:
    """Raises UsageError where ``--dataset`` names neither a data set nor a file of own prompts that reads."""
    try:
        check_name(name)
        if is_own(name):
            load_dataset(name)
    except UsageError as error:
        raise UsageError(f"--dataset: {error}") from error


def _task(told: Mapping[str, Any], suite: Suite = "humaneval") -> Task:
    """Make a task of a record in evalplus' format, or of an own prompt, which need not have tests."""
    return Task(
        task_id=told["task_id"],
        prompt=told["prompt"],
        entry_point=told.get("entry_point", ""),
        canonical_solution=told.get("canonical_solution", ""),
        base_inputs=tuple(told.get("base_input", ())),
        plus_inputs=tuple(told["plus_input"]),
        atol=float(told["atol"]),
        stop=tuple(told.get("stop", ())),
        max_tokens=told.get("max_tokens"),
        suite=suite,
    )


def _content_sha256(records: list[dict[str, Any]]) -> str:
    """Hash the fields that matter, so that the same tasks give the same hash however the file is packed.

    evalplus' own ``get_human_eval_plus_hash`` is an md5 over the file's bytes: it differs between the ``.gz``
    and the unpacked file of one release.
    """
    return _sha256([{field: record[field] for field in _HASHED_FIELDS} for record in records])


def _sha256(contents: list[dict[str, Any]]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
        digest.update(b"\n")
    return digest.hexdigest()
