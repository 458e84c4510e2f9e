"""Read the files of other tools by models of what we take from them; what does not fit becomes one message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, ValidationError

from configs.files.problems import words_of
from configs.files.text_files import encoding_of, read_packed
from starwatt_errors import UsageError
from study.imported.requests import LATEST_S

Moment = Annotated[float, Field(ge=0, le=LATEST_S)]
"""Seconds since 1970, or since a machine was started."""
MomentNs = Annotated[int, Field(ge=0, le=round(LATEST_S * 1e9))]
"""The same in nanoseconds."""
Span = Annotated[float, Field(ge=0, le=1e9)]
"""A duration, in whatever unit its tool has."""
_MOST_BYTES = 1 << 30
Tokens = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A number of tokens."""


class ToolShape(BaseModel):
    """Hold what we read of an object; tools add fields with every version, which are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


_Shape = TypeVar("_Shape", bound=ToolShape)


def at(*places: str, default: Any = None) -> Any:
    """Read a field from the first of these places that there is, such as ``info.timings.request_start``."""
    paths = (AliasPath(*place.split(".")) for place in places)
    return Field(default=default, validation_alias=AliasChoices(*paths))


def read_text(path: Path) -> str:
    """Return the whole of a file, unpacked where its name ends in .gz.

    Raises:
        UsageError: it cannot be read, is empty, or is no text.
    """
    raw = read_packed(path, _MOST_BYTES)
    try:
        text = raw.decode(encoding_of(raw))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: is no text: JSON, JSON Lines or CSV of a load generator is read"
        ) from error
    if not text.strip():
        raise UsageError(f"{path}: is empty: its tool has not ended, or could not write it")
    return text


def parsed(text: str, where: str) -> Any:
    """Return the JSON of ``text``; ``where`` names it in an error.

    Raises:
        UsageError: it is none, or was cut off.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        at = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(
            f"{where}: is no whole JSON (it ends or breaks{at}): a file that was cut off is of no use, "
            "so copy it again, or measure again"
        ) from error


def shaped(model: type[_Shape], data: Any, where: str) -> _Shape:
    """Return ``data`` as ``model``; ``where`` names it in an error.

    Raises:
        UsageError: a field is missing, or of another kind.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise UsageError(
            f"{where}: {field + ': ' if field else ''}{words_of(error)}: this version of its tool is not known here; "
            "the same requests as CSV can be read (start,first_token,end,prompt_tokens,output_tokens)"
        ) from error
