"""What all models of files have in common."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class StrictModel(BaseModel):
    """Frozen, and an unknown field is an error with its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def checked_name(value: str) -> str:
    """A name that can be a folder's; anything else is a ValueError."""
    if not _NAME.match(value):
        raise ValueError("takes letters, digits, '.', '_' and '-' (it becomes a folder's name)")
    return value


def inconsistent(at: str, message: str) -> PydanticCustomError:
    """Two fields contradict each other; ``at`` is the one to look at, with dots between its parts."""
    return PydanticCustomError("inconsistent", "{message}", {"message": message, "at": at})
