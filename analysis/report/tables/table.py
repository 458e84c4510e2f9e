"""A table of text: each column a title beside what it says of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

_Item = TypeVar("_Item")
Columns = Sequence[tuple[str, Callable[[_Item], str]]]


@dataclass(frozen=True)
class TextTable:
    """Header and rows of text; the first ``labels`` columns are words, the others figures."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int


def table_of(columns: Columns[_Item], items: Iterable[_Item], labels: int) -> TextTable:
    """Make a row of every item."""
    rows = tuple(tuple(text(item) for _, text in columns) for item in items)
    return TextTable(tuple(title for title, _ in columns), rows, labels)


def percent(share: float | None, *, signed: bool = False) -> str:
    """With one digit after the point; a dash for None."""
    if share is None:
        return "–"
    return f"{share * 100:+.1f} %" if signed else f"{share * 100:.1f} %"
