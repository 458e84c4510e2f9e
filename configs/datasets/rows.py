"""The lines of a file in HumanEval+'s format, each looked at before anything is asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from configs.files.plain import NotPlainError, finite
from configs.files.plain_json import parse_json
from configs.files.problems import problems
from configs.files.strict import Line, Many, StrictModel
from configs.files.text_files import PROMPTS_BYTES, decoded, read_packed
from starwatt_errors import UsageError


def _finite(value: list[Any]) -> list[Any]:
    if not finite(value):
        raise ValueError("takes finite numbers: JSON has no infinity")
    return value


Inputs = Many[Annotated[list[Any], AfterValidator(_finite)]]
"""Lists of arguments."""


class Row(StrictModel):
    """One task of HumanEval+; what else stands in it is of no use here."""

    model_config = ConfigDict(extra="ignore")

    task_id: Line
    prompt: Annotated[str, Field(min_length=1)]
    entry_point: Line
    canonical_solution: Annotated[str, Field(min_length=1)]
    base_input: Inputs
    plus_input: Inputs
    atol: float = Field(ge=0)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The tasks of a file as they stand in it, with the fields of ``Row`` alone.

    Raises:
        UsageError: it cannot be read, holds no task, or a line is none.
    """
    text = decoded(path, read_packed(path, PROMPTS_BYTES))
    rows = [
        _row(f"{path}:{number}", line)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    if not rows:
        raise UsageError(f"{path}: there is no task in it")
    return rows


def _row(where: str, line: str) -> dict[str, Any]:
    try:
        data = parse_json(line)
    except NotPlainError as error:
        raise UsageError(f"{where}: {error.words}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{where}: takes a JSON object with a task")
    try:
        Row.model_validate(data)
    except ValidationError as error:
        first = problems(error, Row, data)[0]
        raise UsageError(f"{where}: {'.'.join(map(str, first.location))}: {first.message}") from error
    return {field: data[field] for field in Row.model_fields}
