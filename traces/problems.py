"""Say what is wrong with a record of a run that somebody changed: which field, and whether it is missing."""

from __future__ import annotations

from pydantic import ValidationError

_LONGEST = 60


def wrong_field(error: ValidationError) -> str:
    """The first field that is wrong, and what it holds; all that such a record ever held was written by a program."""
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "all of it"
    if first["type"] == "missing":
        return f"{field} is missing"
    given = first["input"]
    kind = {dict: "a mapping", list: "a list", type(None): "null"}.get(type(given)) or repr(given)
    shown = kind if len(kind) <= _LONGEST else f"{kind[: _LONGEST - 1]}…"
    return f"{field} cannot be {shown}"
