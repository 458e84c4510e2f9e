"""Define what all records of a run have in common, and say what is wrong with one that somebody changed.

A record cannot be changed once it is read, and what a newer writer adds is kept.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from traces.schemas import SCHEMA_VERSION

_LONGEST = 60
REMEDY_OF_A_CELL = "restore it from a copy, or delete the cell's folder and run the study again"
"""Of a file that a cell was measured with."""
REMEDIES = {"grades": "delete it: starwatt grade makes it again"}
"""By trace: of those that can be recomputed."""


class Record(BaseModel):
    """A record that a program of ours wrote, read back as it stands."""

    model_config = ConfigDict(extra="allow", frozen=True)


def wrong_field(error: ValidationError) -> str:
    """Name the first field that is wrong, and what it holds: a program wrote all that such a record ever held."""
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "all of it"
    if first["type"] == "missing":
        return f"{field} is missing"
    given = first["input"]
    kind = {dict: "a mapping", list: "a list", type(None): "null"}.get(type(given)) or repr(given)
    shown = kind if len(kind) <= _LONGEST else f"{kind[: _LONGEST - 1]}…"
    return f"{field} cannot be {shown}"


def another_version(there: object) -> str:
    """Return what to say of a file of another schema version."""
    return f"schema version {there}, but this starwatt reads {SCHEMA_VERSION}: read it with the starwatt that wrote it"
