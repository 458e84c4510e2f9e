"""Put what pydantic finds wrong into a file writer's words: which field, what it takes, what was given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from starwatt_errors import did_you_mean

_LONGEST = 60
_SECRETS = (("key",), ("token",))  # fields that say where a secret is; some write the secret itself there
_FIELDS = "a mapping of fields (name: value)"


@dataclass(frozen=True)
class Problem:
    """One field that is wrong."""

    location: tuple[Any, ...]
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (".".join(map(str, self.location)), self.message)))


def problems(error: ValidationError, model: type[BaseModel], data: Any) -> list[Problem]:
    """List what is wrong with ``data``, each field once, in the order of the model.

    Where a field takes this or that, what both said of it becomes one sentence; what is wrong within it counts more
    than that it is not the other.
    """
    told: dict[tuple[Any, ...], tuple[list[str], str]] = {}
    for detail in error.errors(include_url=False):
        location, wants, given = _described(detail, model, data)
        told.setdefault(location, ([], given))[0].append(wants)
    around = {location[:length] for location in told for length in range(len(location))}
    return [Problem(location, _sentence(*said)) for location, said in told.items() if location not in around]


def words_of(error: ValidationError) -> str:
    """Return the first problem in words, without its field."""
    first = error.errors(include_url=False)[0]
    return _sentence([_wants(first)], _given(first))


def _described(detail: Any, model: type[BaseModel], data: Any) -> tuple[tuple[Any, ...], str, str]:
    kind = detail["type"]
    location = _location(detail["loc"], data, missing=kind == "missing")
    if kind == "extra_forbidden":
        known = dict.fromkeys(
            name for owner in _owners(model, detail["loc"][:-1]) for name in owner.model_fields
        )
        return (
            location,
            f"no such field; known here: {', '.join(known)}{did_you_mean(location[-1], known)}",
            "",
        )
    if kind == "union_tag_not_found" and isinstance(detail["input"], dict):
        kinds = [name for owner in _owners(model, detail["loc"]) for name in _kinds(owner)]
        return (*location, "kind"), f"is required: takes one of {', '.join(kinds)}", ""
    if kind == "union_tag_invalid":
        named = "kind" in str(detail["ctx"]["discriminator"]) and isinstance(detail["input"], dict)
        return (*location, "kind") if named else location, _wants(detail), _given(detail)
    if kind == "inconsistent":
        return (*location, *detail["ctx"]["at"].split(".")), _wants(detail), ""
    return location, _wants(detail), "" if location[-1:] in _SECRETS else _given(detail)


def _location(loc: tuple[Any, ...], data: Any, *, missing: bool) -> tuple[Any, ...]:
    """Return ``loc`` without what pydantic calls members of unions: what is not in the data is no field of the file."""
    kept: list[Any] = []
    for place, part in enumerate(loc):
        there = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if there:
            data = data[part]
        if there or (missing and place == len(loc) - 1):
            kept.append(part)
    return tuple(kept)


def _sentence(wants: list[str], given: str) -> str:
    once = list(dict.fromkeys(wants))
    if len(once) > 1 and all(want.startswith("takes ") for want in once):
        once = [" or ".join([once[0], *(want.removeprefix("takes ") for want in once[1:])])]
    return f"{'; '.join(once)}{given}"


def _wants(detail: Any) -> str:
    """Say what the field takes; in our own words where a validator of ours refused."""
    said: Callable[[dict[str, Any], Any], str] | None = _WORDS.get(detail["type"])
    if said is None:
        return str(detail["msg"]).removeprefix("Value error, ")
    return said(detail.get("ctx", {}), detail.get("input"))


def _given(detail: Any) -> str:
    """Return the value, where it is short enough to be recognised by; never a password in a URL."""
    if detail["type"] in {"missing", "inconsistent"}:
        return ""
    value = detail["ctx"]["tag"] if detail["type"] == "union_tag_invalid" else detail.get("input")
    if isinstance(value, dict | list | tuple | BaseModel):
        shape = "a list" if isinstance(value, list | tuple) else "a mapping"
        return f" (given: {shape})" if detail["type"] in _SHAPES else ""
    shown = {True: "true", False: "false", None: "null"}.get(value) if _is_word(value) else None
    shown = shown or re.sub(r"//[^/\s]*@", "//…@", repr(value) if isinstance(value, str) else str(value))
    return f" (given: {shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + '…'})"


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _number(words: str, given: Any) -> str:
    """Say what is to be changed in a text that is nearly a number."""
    if not isinstance(given, str):
        return f"takes {words}"
    if re.fullmatch(r"[-+]?0\d[\d.]*", given):
        return f"takes {words}, without leading zeros"
    if re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", given):
        return f"takes {words}, without quotes"
    return (
        f"takes {words}, without a unit or signs between its digits"
        if given[:1].isdigit()
        else f"takes {words}"
    )


def _text(_: dict[str, Any], given: Any) -> str:
    return "takes text" if given is None or isinstance(given, dict | list) else "takes text: put it in quotes"


def _expected(context: dict[str, Any], _: Any) -> str:
    choices = [choice.strip(" '") for choice in re.split(r", | or ", str(context["expected"]))]
    return f"takes {' or '.join(choices)}" if len(choices) <= 2 else f"takes one of {', '.join(choices)}"


_SHAPES = {
    "string_type", "int_type", "float_type", "bool_type", "path_type", "literal_error",
    "tuple_type", "list_type", "dict_type", "model_type", "model_attributes_type", "union_tag_not_found",
}  # fmt: skip
_WORDS: dict[str, Callable[[dict[str, Any], Any], str]] = {
    "missing": lambda *_: "is required",
    "int_type": lambda _, given: _number("a whole number", given),
    "int_parsing": lambda *_: "takes a whole number",  # of a flag; the types of files are strict
    "int_from_float": lambda *_: "takes a whole number",
    "float_type": lambda _, given: _number("a number", given),
    "float_parsing": lambda *_: "takes a number",
    "finite_number": lambda *_: "takes a finite number",
    "greater_than": lambda context, _: f"takes a number above {context['gt']:g}",
    "greater_than_equal": lambda context, _: f"takes a number from {_bound(context['ge'])} on",
    "less_than": lambda context, _: f"takes a number below {context['lt']:g}",
    "less_than_equal": lambda context, _: f"takes a number up to {_bound(context['le'])}",
    "bool_type": lambda *_: "takes true or false",
    "bool_parsing": lambda *_: "takes true or false",
    "string_type": _text,
    "string_too_short": lambda *_: "takes a text that is not empty",
    "string_too_long": lambda context, _: f"takes at most {context['max_length']} characters",
    "path_type": lambda *_: "takes the path of a file or a folder",
    "literal_error": _expected,
    "union_tag_invalid": lambda context, _: _expected({"expected": context["expected_tags"]}, None),
    "union_tag_not_found": lambda *_: f"takes {_FIELDS}",
    "tuple_type": lambda *_: "takes a list ([a, b])",
    "list_type": lambda *_: "takes a list ([a, b])",
    "too_short": lambda context, _: (
        f"takes {context['min_length']} or more, and has {context['actual_length']}"
    ),
    "too_long": lambda context, _: f"takes {context['max_length']} at most",
    "dict_type": lambda *_: f"takes {_FIELDS}",
    "model_type": lambda *_: f"takes {_FIELDS}",
    "model_attributes_type": lambda *_: f"takes {_FIELDS}",
}
"""What a field takes, in words, by pydantic's name of the problem."""


def _bound(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _owners(model: type[BaseModel], loc: tuple[Any, ...]) -> list[type[BaseModel]]:
    """Return the models that may stand at a location, as pydantic has it."""
    owners = [model]
    for part in loc:
        inner = [
            candidate
            for owner in owners
            if part in owner.model_fields
            for candidate in _models_in(owner.model_fields[part].annotation)
        ]
        owners = inner or [owner for owner in owners if part in (owner.__name__, *_kinds(owner))] or owners
    return owners


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind is not None else ()
