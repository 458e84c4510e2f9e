"""YAML 1.2 by its core schema: ``no`` is text, ``1:30`` is text, and what readers understand differently is an error.

A number with leading zeros (``010``: 8 to YAML 1.1, 10 to YAML 1.2) is text too, so that a field which takes a number
refuses it. Dates, sets and tags of programming languages do not exist. Aliases and merge keys (``<<``) do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from configs.files.plain import DEEPEST, MOST_DIGITS, NotPlainError, check_text, too_deep, too_long

_MOST_NODES = 20_000  # with what aliases repeat
_TAG = "tag:yaml.org,2002:"
_PLAIN: dict[str, tuple[str, str]] = {
    "null": (r"~|null|Null|NULL|", "null"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "true or false"),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "a whole number"),
    "float": (
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "a number",
    ),
}
"""What a scalar looks like, as a pattern and in words, by its tag."""


class _Composer(yaml.composer.Composer, yaml.resolver.BaseResolver):
    """Composes nodes of a text's events; knows what a scalar without quotes and without a tag is."""

    def __init__(self, events: Sequence[yaml.Event]) -> None:
        super().__init__()
        yaml.resolver.BaseResolver.__init__(self)
        self._events = iter(events)
        self._next = next(self._events, None)

    def check_event(self, *kinds: type[yaml.Event]) -> bool:
        return isinstance(self._next, kinds)

    def peek_event(self) -> yaml.Event | None:
        return self._next

    def get_event(self) -> yaml.Event | None:
        event, self._next = self._next, next(self._events, None)
        return event


class _Dumper(yaml.SafeDumper):
    """Put a text into quotes where YAML 1.1 or 1.2 would read something else without them."""


for _name, (_form, _) in _PLAIN.items():
    for _class in (_Composer, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_form})\Z"), None)


def dump_yaml(data: Any) -> str:
    """Write plain data as YAML, in its order."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False))


def compose_yaml(text: str) -> yaml.Node | None:
    """Return the nodes of the one document in ``text``, with their lines; None where it is empty.

    Raises:
        NotPlainError: it is no YAML, holds several documents, or is nested too deeply.
    """
    try:
        node: yaml.Node | None = _Composer(_checked_events(text)).get_single_node()
    except yaml.reader.ReaderError as error:
        words = f"is not valid YAML: holds the character U+{int(error.character):04X}"
        raise NotPlainError(words, text.count("\n", 0, error.position) + 1) from error
    except yaml.MarkedYAMLError as error:
        where = _line(error.problem_mark or error.context_mark)
        raise NotPlainError(f"is not valid YAML: {_problem(error)}", where) from error
    except yaml.YAMLError as error:
        raise NotPlainError(f"is not valid YAML: {error}") from error
    except (ValueError, OverflowError) as error:  # an escape that names no character
        raise NotPlainError("is not valid YAML: an escape in quotes names no character") from error
    return node


def plain_data(node: yaml.Node | None) -> Any:
    """Return the plain data that nodes mean.

    Raises:
        NotPlainError: a name is there twice or is no text, a tag is not taken, a value is not what its tag says, an
            alias holds itself, or aliases repeat too much.
    """
    return None if node is None else _Meaning().of(node)


def line_of(node: yaml.Node | None, location: tuple[Any, ...]) -> int | None:
    """Return the line of the deepest part of ``location`` that is there."""
    line = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
            if part not in pairs:
                break
            key, node = pairs[part]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _checked_events(text: str) -> list[yaml.Event]:
    """Look at depth and documents before nodes are made of them: that is done by recursion."""
    depth = documents = 0
    events = []
    for number, event in enumerate(yaml.parse(text, Loader=yaml.BaseLoader)):
        if number > _MOST_NODES:
            raise NotPlainError(f"holds more than {_MOST_NODES} values", _line(event.start_mark))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise too_deep(_line(event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise NotPlainError("holds a second document (---): takes one", _line(event.start_mark))
        events.append(event)
    return events


def _problem(error: yaml.MarkedYAMLError) -> str:
    if error.problem and "'\\t'" in error.problem:
        return "a tab indents or separates here: take spaces"
    begins, ends = _line(error.context_mark), _line(error.problem_mark)
    where = f" (in what begins in line {begins})" if begins not in (None, ends) else ""
    return f"{error.problem or error.context}{where}"


def _line(mark: Any) -> int | None:
    return None if mark is None else mark.line + 1


class _Meaning:
    """Make plain data of nodes; count what is made, and know in which nodes it is."""

    def __init__(self) -> None:
        self._left = _MOST_NODES
        self._within: list[yaml.Node] = []

    def of(self, node: yaml.Node) -> Any:
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0:
            raise NotPlainError("aliases (*) repeat too much of it: write it out", line)
        if any(node is outer for outer in self._within):
            raise NotPlainError("an alias (*) stands within what it names: write it out", line)
        if len(self._within) > DEEPEST:  # by aliases of aliases
            raise too_deep(line)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, line)
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != _TAG + kind:
            raise _unknown_tag(node.tag, line)
        self._within.append(node)
        data = self._mapping(node) if isinstance(node, yaml.MappingNode) else list(map(self.of, node.value))
        self._within.pop()
        return data

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            name = self._name(key)
            if name in fields or (name == "<<" and merged):
                raise NotPlainError(f"{name} is there twice", key.start_mark.line + 1)
            if name == "<<" and key.style is None:
                merged = self._merged(value)
            else:
                fields[name] = self.of(value)
        return {**merged, **fields}

    def _name(self, key: yaml.Node) -> str:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise NotPlainError("the name of a field is text, not a list or a mapping", line)
        if key.tag != f"{_TAG}str":
            raise NotPlainError(f"{key.value}: the name of a field is text: put it in quotes", line)
        return check_text(key.value, line)

    def _merged(self, node: yaml.Node) -> dict[str, Any]:
        data = self.of(node)
        merged: dict[str, Any] = {}
        for source in data if isinstance(data, list) else [data]:
            if not isinstance(source, dict):
                raise NotPlainError("<< takes a mapping, by its alias (*name)", node.start_mark.line + 1)
            merged = {**source, **merged}
        return merged


def _scalar(node: yaml.ScalarNode, line: int) -> Any:
    text, kind = check_text(node.value, line), node.tag.removeprefix(_TAG)
    if kind == "str":
        return text
    if kind not in _PLAIN:
        raise _unknown_tag(node.tag, line)
    form, words = _PLAIN[kind]
    if not re.fullmatch(form, text):
        raise NotPlainError(f"!!{kind} takes {words}, not {text[:40]!r}", line)
    if len(text) > MOST_DIGITS and kind in ("int", "float"):
        raise too_long(line)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 0)
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


def _unknown_tag(tag: str, line: int) -> NotPlainError:
    return NotPlainError(f"the tag {tag.replace(_TAG, '!!')[:40]} is not taken: write the value itself", line)
