"""In which fields two documents of plain data differ: two studies, two manifests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LONGEST = 160


@dataclass(frozen=True)
class Change:
    """One field, by its dotted name, and what it is on either side; None where it is not there."""

    field: str
    first: Any
    second: Any

    @property
    def words(self) -> tuple[str, str]:
        """Both sides, short enough for a line."""
        return _shown(self.first), _shown(self.second)


def changes(first: Any, second: Any, field: str = "") -> Iterator[Change]:
    """Every field that differs, in the order of the first document; lists are compared whole."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in (*first, *(name for name in second if name not in first)):
            yield from changes(first.get(name), second.get(name), f"{field}.{name}" if field else str(name))
    elif first != second:
        yield Change(field, first, second)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
