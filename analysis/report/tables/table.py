"""A table of text: each column a title beside what it says of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from analysis.metrics import metric
from analysis.results.points import Contrast, Point
from analysis.results.sentences import significant

_Item = TypeVar("_Item")
Columns = Sequence[tuple[str, Callable[[_Item], str]]]


VARIANT: tuple[str, Callable[[Point | Contrast], str]] = ("variant", lambda side: side.variant)
LOAD: tuple[str, Callable[[Point | Contrast], str]] = ("load", lambda side: side.load)


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


def each_of(names: Iterable[str], shown: Callable[[_Item, str], str]) -> Columns[_Item]:
    """Return a column a metric, titled by its label; ``shown`` says of an item and a metric what stands there."""

    def column(name: str) -> tuple[str, Callable[[_Item], str]]:
        return metric(name).label, lambda item: shown(item, name)

    return [column(name) for name in names]


def mean_of(point: Point, name: str) -> str:
    """Show the mean of a metric over the blocks."""
    return significant(point.mean(name))


def share_of(point: Point, name: str) -> str:
    """Show the mean of a share over the blocks, in percent."""
    return percent(point.mean(name))


def percent(share: float | None, *, signed: bool = False) -> str:
    """Write a share with one digit after the point; a dash for None."""
    if share is None:
        return "–"
    return f"{share * 100:+.1f} %" if signed else f"{share * 100:.1f} %"
