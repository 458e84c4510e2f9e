"""Read study, variant and architecture files as plain data that knows the lines of its fields."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from configs.files.plain import MOST_DIGITS, NotPlainError
from configs.files.plain_json import parse_json
from configs.files.plain_yaml import compose_yaml, line_of, plain_data
from configs.files.text_files import read_text
from starwatt_errors import UsageError

_LONGEST = 60  # characters of a field's name that are shown


@dataclass(frozen=True)
class Document:
    """The fields of a file."""

    path: Path
    data: dict[str, Any]
    _node: yaml.Node | None = field(repr=False)

    def refusal(self, location: tuple[Any, ...], message: str) -> UsageError:
        """Return the error that this field is wrong, with file, line and field."""
        at = ".".join(map(_part, location)) or "(whole file)"
        return UsageError(f"{_place(self.path, line_of(self._node, location))}: {at}: {message}")

    @contextmanager
    def at(self, *location: str | int) -> Iterator[None]:
        """Say of which field a UsageError within the block is."""
        try:
            yield
        except UsageError as error:
            raise self.refusal(location, str(error)) from error


def read_document(path: Path) -> Document:
    """Read a file whose name ends in .json as JSON, and any other as YAML.

    Raises:
        UsageError: it cannot be read, or holds no mapping of fields.
    """
    text = read_text(path)
    try:
        node, data = _json(text) if path.suffix.lower() == ".json" else _yaml(text)
    except NotPlainError as error:
        raise UsageError(f"{_place(path, error.line)}: {error.words}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: takes a mapping of fields (name: value), not {_called(data)}")
    return Document(path, data, node)


def _yaml(text: str) -> tuple[yaml.Node | None, Any]:
    node = compose_yaml(text)
    return node, plain_data(node)


def _json(text: str) -> tuple[yaml.Node | None, Any]:
    """Parse JSON, and take its lines from YAML, which it is but for its tabs."""
    node = None
    try:
        data = parse_json(text, most_digits=MOST_DIGITS)
    except NotPlainError as error:
        raise _with_line(text, error) from error
    try:
        node = compose_yaml(text.replace("\t", " "))
    except NotPlainError:  # a character that JSON takes, and YAML does not: then without lines
        return None, data
    return node, data


def _with_line(text: str, error: NotPlainError) -> NotPlainError:
    """Return the error of a JSON text with the line at which YAML says the same of it."""
    try:
        _yaml(text.replace("\t", " "))
    except NotPlainError as by_yaml:
        return by_yaml if by_yaml.words == error.words else error
    return error


def _place(path: Path, line: int | None) -> str:
    return f"{path}:{line}" if line else str(path)


def _part(part: Any) -> str:
    """Return a field's name as it is printed: a stranger's file may have control characters there, or whole lines."""
    name = str(part)
    return name if name.isprintable() and len(name) <= _LONGEST else repr(name[:_LONGEST])


def _called(data: Any) -> str:
    if data is None:
        return "an empty file"
    return "a list" if isinstance(data, list) else "one value"
