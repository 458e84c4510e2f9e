"""Read the lines of a file in evalplus' format, each looked at before anything is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from configs.files.plain import finite
from configs.files.plain_json import json_object, numbered_lines
from configs.files.problems import problems
from configs.files.strict import Line, Many, StrictModel
from configs.files.text_files import PROMPTS_BYTES, decoded, read_packed
from starwatt_errors import UsageError

_Model = TypeVar("_Model", bound=StrictModel)


def _finite(value: list[Any]) -> list[Any]:
    if not finite(value):
        raise ValueError("takes finite numbers: JSON has no infinity")
    return value


Inputs = Many[Annotated[list[Any], AfterValidator(_finite)]]
"""Lists of arguments."""


class Row(StrictModel):
    """One task of HumanEval+; what else stands in a line is of no use here."""

    model_config = ConfigDict(extra="ignore")

    task_id: Line
    prompt: Annotated[str, Field(min_length=1)]
    entry_point: Line
    canonical_solution: Annotated[str, Field(min_length=1)]
    base_input: Inputs
    plus_input: Inputs
    atol: float = Field(ge=0)


def _none_as_a_list(value: Any) -> Any:
    """Return an empty mapping as an empty list: Mbpp/793 of v0.2.0 has one in place of its further inputs."""
    return [] if value == {} else value


class MbppRow(Row):
    """One task of MBPP+. Infinity stands in some of its inputs."""

    base_input: Annotated[Many[list[Any]], BeforeValidator(_none_as_a_list)]
    plus_input: Annotated[Many[list[Any]], BeforeValidator(_none_as_a_list)]


def read_rows(path: Path, form: type[Row] = Row) -> list[dict[str, Any]]:
    """Return the tasks of a file as they stand in it, with the fields of ``form`` alone.

    Raises:
        UsageError: it cannot be read, holds no task, or a line is none.
    """
    rows = []
    for number, line in lines_of(path):
        data, _ = checked_object(f"{path}:{number}", line, form, "task")
        rows.append({field: data[field] for field in form.model_fields})
    if not rows:
        raise UsageError(f"{path}: there is no task in it")
    return rows


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Return the lines with something in them, and their numbers.

    Raises:
        UsageError: the file cannot be read.
    """
    return numbered_lines(decoded(path, read_packed(path, PROMPTS_BYTES)))


def checked_object(where: str, line: str, model: type[_Model], what: str) -> tuple[dict[str, Any], _Model]:
    """Return the JSON object of a line, as it stands there and as the model has it.

    Raises:
        UsageError: it is none, or fields of it are wrong: a sentence each, behind ``where``.
    """
    data = json_object(where, line, what)
    try:
        return data, model.model_validate(data)
    except ValidationError as error:
        wrong = [f"{where}: {problem}" for problem in problems(error, model, data)]
        raise UsageError("\n".join(wrong)) from error
