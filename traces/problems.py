"""Say what is wrong with a record of a run that somebody changed: which field, and whether it is missing."""

from __future__ import annotations

from pydantic import ValidationError

from traces.schemas import SCHEMA_VERSION

_LONGEST = 60
REMEDY_OF_A_CELL = "restore it from a copy, or delete the cell's folder and run the study again"
"""Of a file that a cell was measured with."""
REMEDIES = {"grades": "delete it: starwatt grade makes it again"}
"""By trace: of those that can be recomputed."""


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
