"""Define the base of all models of files: nothing is taken for something else, and everything has a bound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.types import Strict
from pydantic_core import PydanticCustomError

LONGEST_S = 7 * 86400
"""The upper bound of every duration: a week."""
MOST_TOKENS = 2**20
"""The most tokens that an answer may have."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_NAME = 100  # a folder's name has at most 255, and files beside it are called after it

_Item = TypeVar("_Item")


class StrictModel(BaseModel):
    """Frozen; an unknown field is an error with its name; ``true`` is no 1, ``"3"`` no 3, and infinity no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def checked_name(value: str) -> str:
    """Return ``value`` where it can be a folder's name; anything else is a ValueError."""
    if not _NAME.fullmatch(value):
        raise ValueError("takes letters, digits, '.', '_' and '-' (it becomes a folder's name)")
    if len(value) > _LONGEST_NAME:
        raise ValueError(f"takes at most {_LONGEST_NAME} characters (it becomes a folder's name)")
    return value


def checked_variant(value: str) -> str:
    """Return a variant's name, or several that are combined (``bf16+ngram``); anything else is a ValueError."""
    if value.startswith("+") or value.endswith("+") or "++" in value:
        raise ValueError("takes NAME or NAME+SETTING")
    checked_name(value.replace("+", "-"))
    return value


def checked_line(value: str) -> str:
    """Return ``value`` where it is one line with nothing invisible around it; anything else is a ValueError."""
    if not value or value != value.strip() or not value.isprintable():
        raise ValueError("takes one line of text, without control characters and without blanks around it")
    return value


def _named(value: Any) -> Any:
    if value == "":  # Path makes the folder that we are in of it
        raise ValueError("takes the path of a file or a folder")
    return value


def _checked_path(value: Path) -> Path:
    checked_line(str(value))
    return value


def inconsistent(at: str, message: str) -> PydanticCustomError:
    """Return the error of fields that contradict each other; ``at``: the one to look at, such as ``engine.seed``."""
    return PydanticCustomError("inconsistent", "{message}", {"message": message, "at": at})


Name = Annotated[str, AfterValidator(checked_name)]
"""Becomes a folder's name."""
VariantName = Annotated[str, AfterValidator(checked_variant)]
"""The same of a variant, which may be combined with settings."""
Line = Annotated[str, AfterValidator(checked_line)]
"""Stands in tables, messages and command lines."""
FilePath = Annotated[Path, Strict(False), BeforeValidator(_named), AfterValidator(_checked_path)]
"""In a file it is text."""
Many = Annotated[tuple[_Item, ...], Strict(False)]
"""In a file it is a list."""
Seconds = Annotated[float, Field(ge=0, le=LONGEST_S)]
"""A duration that may be none."""
TimeLimit = Annotated[float, Field(gt=0, le=LONGEST_S)]
"""A duration that is one."""
Cpu = Annotated[int, Field(ge=0, le=65535)]
"""A CPU's number."""
BoardCount = Annotated[int, Field(ge=1, le=1024)]
"""How many boards an engine or a slot takes."""
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""The largest seed that every generator of random numbers takes."""


def shape(value: Any) -> str:
    """Tells a word (``auto``) from fields, where a field takes either."""
    return "fields" if isinstance(value, dict | BaseModel) else "word"
