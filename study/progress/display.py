"""Show what takes longer than a second: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Self

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column, Table

console = Console(stderr=True, highlight=False)
_SHOWN = SimpleNamespace(progress=True)
_WIDTH = 160
"""Characters of a line, where a log or a pipe takes them."""
_OF_A_COLUMN = 3
"""Characters that its border and its margins take."""
_SHORTEST = "...."
"""No column is narrower."""
_PARTS = re.compile(r"[^\s/]+(?:/|\s+)?|[\s/]+")
"""Of a column's head: what is not broken, with the slash or the blanks behind it."""


def be_quiet(quiet: bool) -> None:
    """Show no progress from now on; answers, and what goes wrong, are told all the same."""
    _SHOWN.progress = not quiet


def tell(words: str, *, style: str | None = None) -> None:
    """Print one line for a person, on standard error; never wrapped, so that it can be searched for."""
    console.print(words, markup=False, soft_wrap=True, style=style)


def show(table: Table) -> None:
    """Print a table of figures: nothing is cut off; where no terminal says how wide it is, it takes what it needs."""
    wide = console if console.is_terminal else Console(stderr=True, highlight=False, width=_WIDTH)
    _fit(table, wide.width)
    wide.print(table)


def _fit(table: Table, width: int) -> None:
    """Give columns widths at which words stay whole: those of heads and figures, or else of heads alone."""
    room = width - _OF_A_COLUMN * len(table.columns) - 1
    heads = [_PARTS.findall(str(column.header)) for column in table.columns]
    cells = [list(map(str, column.cells)) for column in table.columns]
    words = [[word for text in texts for word in text.split()] for texts in cells]
    for column in table.columns:
        column.overflow = "fold"
    for kept in ([*zip(heads, words, strict=True)], [(head, ()) for head in heads]):
        least = [
            max(map(cell_len, map(str.rstrip, (*head, *of_cells, _SHORTEST)))) for head, of_cells in kept
        ]
        if sum(least) <= room:
            whole = [
                max(map(cell_len, ("".join(head), *texts))) for head, texts in zip(heads, cells, strict=True)
            ]
            for column, head, narrow in zip(table.columns, heads, _narrowed(whole, least, room), strict=True):
                column.width, column.header = narrow, _broken(head, narrow)
            return


def _narrowed(widths: list[int], least: list[int], room: int) -> list[int]:
    """Narrow the widest column that may be narrower, again and again, until all have room."""
    widths = [max(both) for both in zip(widths, least, strict=True)]
    while sum(widths) > room:
        place = max(range(len(widths)), key=lambda place: (widths[place] > least[place], widths[place]))
        widths[place] -= 1
    return widths


def _broken(parts: list[str], width: int) -> str:
    """Put the parts of a head on as few lines as this width takes."""
    lines = [""]
    for part in parts:
        if lines[-1] and cell_len(f"{lines[-1]}{part}".rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(map(str.rstrip, lines))


class Display:
    """Count steps, tell what is being done now, and how much time is left.

    ``estimate_s`` is the expected time of all steps; it is corrected by the pace of those that were done.
    """

    def __init__(self, what: str, steps: int, *, estimate_s: float | None = None) -> None:
        self._what = what
        self._steps = steps
        self._estimate_s = estimate_s
        self._done = 0
        self._done_estimate_s = 0.0
        self._started_s = self._advanced_s = time.monotonic()
        self._title = ""
        self._said = ""
        self._words = self._reading = ""
        self.live = console.is_terminal and _SHOWN.progress
        """Whether somebody looks at a terminal."""
        self._ends_s: float | None = None
        whole_line = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=whole_line, markup=False),
            *((BarColumn(bar_width=20), MofNCompleteColumn()) if steps > 1 else ()),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
            expand=True,
            console=console,
            disable=not self.live,
            transient=True,
        )
        self._task = self._progress.add_task(what, total=steps, left="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def title(self, title: str) -> None:
        """Name the step that begins."""
        self._title, self._reading = title, ""
        if not self.live and _SHOWN.progress:
            left_s = self._left_s()
            left = "" if left_s is None else f"  (about {left_s // 60} min {left_s % 60:02d} s left)"
            tell(f"{self._what} {self._done + 1}/{self._steps}: {title}{left}")
        self._show("")

    def status(self, words: str) -> None:
        """Show what goes on within the step; it goes by, on a terminal only."""
        self._show(words)

    def reading(self, words: str) -> None:
        """Show what the step measures just now; on a terminal only."""
        self._reading = words
        self._show(self._words)

    def expect(self, left_s: float | None) -> None:
        """Note how much longer all steps take; None: nobody can tell."""
        self._ends_s = None if left_s is None else time.monotonic() + left_s

    def log(self, words: str) -> None:
        """Write a line that stays, on a terminal or not."""
        if words != self._said:
            self._said = words
            tell(f"  {words}")

    def advance(self, title: str | None = None, *, estimate_s: float = 0.0) -> None:
        """Count a step, of that expected time, as done; it is named now if it was not when it began."""
        if title not in (None, self._title):
            self.title(str(title))
        self._done += 1
        self._done_estimate_s += estimate_s
        self._advanced_s = time.monotonic()
        self._progress.update(self._task, advance=1)

    def _show(self, words: str) -> None:
        self._words = words
        description = " · ".join(filter(None, (self._what, self._title, words, self._reading)))
        left_s = self._left_s()
        left = "" if left_s is None else f"about {timedelta(seconds=left_s)} left"
        self._progress.update(self._task, description=description, left=left)

    def _left_s(self) -> int | None:
        """Return whole seconds; None where nobody can tell."""
        if self._ends_s is not None:
            return round(max(self._ends_s - time.monotonic(), 0.0))
        if self._estimate_s is None:
            return None
        left_s = self._estimate_s - self._done_estimate_s
        if self._done_estimate_s > 0:  # the pace of whole steps: the one that runs is in neither
            left_s *= (self._advanced_s - self._started_s) / self._done_estimate_s
        return round(max(left_s - (time.monotonic() - self._advanced_s), 0.0))
