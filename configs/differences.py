"""Find the fields in which two documents of plain data differ: two studies, two manifests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from typing import Any, TypeGuard

_LONGEST = 160
_SHARED = 20  # characters of what both have in common that are shown before they part
_HISTORIES = frozenset({"sessions"})
"""Lists of a manifest whose places do not correspond: they are compared whole."""


@dataclass(frozen=True)
class Change:
    """One field, by its dotted name, and what it is on either side; None where it is missing."""

    field: str
    first: Any
    second: Any

    @property
    def words(self) -> tuple[str, str]:
        """Return both sides, short enough for a line, and never cut off before they part."""
        first, second = ("nothing" if value is None else str(value) for value in (self.first, self.second))
        apart = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
        begin = 0 if apart < _LONGEST - 3 else apart - _SHARED
        return _shown(first, begin), _shown(second, begin)


def changes(first: Any, second: Any, field: str = "") -> Iterator[Change]:
    """Yield every field that differs, in the order of the first document.

    Lists of documents, such as boards, are compared place by place (``gpus.0.ecc``), other lists whole.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        for name in (*first, *(name for name in second if name not in first)):
            yield from changes(first.get(name), second.get(name), f"{field}.{name}" if field else str(name))
    elif _documents(first) and _documents(second) and field not in _HISTORIES:
        for place, (entry, counterpart) in enumerate(zip_longest(first, second)):
            yield from changes(entry, counterpart, f"{field}.{place}" if field else str(place))
    elif first != second:
        yield Change(field, first, second)


def _documents(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _shown(text: str, begin: int) -> str:
    text = f"...{text[begin:]}" if begin else text
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def differences(there: Any, here: Any, at: str = "") -> list[str]:
    """List the fields that differ, one line each, as ``field: 3 there, 5 here``; ``at``: the documents' own name."""
    return [
        f"{change.field}: {change.words[0]} there, {change.words[1]} here"
        for change in changes(there, here, at)
    ]
