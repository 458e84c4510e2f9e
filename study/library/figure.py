"""A figure of a run, as a notebook shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starwatt_errors import UsageError
from traces.atomic import write_text

if TYPE_CHECKING:
    from analysis.opened import OpenedRun


@dataclass(frozen=True)
class Figure:
    """One figure of the report: its picture as SVG, and its words."""

    name: str
    title: str
    svg: str
    description: str
    caption: str

    def save(self, path: Path | str) -> Path:
        """Write it as an SVG file and return its path; raises ``TraceError`` where it cannot be written."""
        place = Path(path)
        write_text(place, self.svg)
        return place

    def _repr_svg_(self) -> str:
        """Show it in a notebook."""
        return self.svg


def figure_of(run: OpenedRun, name: str, model: str | None) -> Figure:
    """The report's figure of this name.

    Args:
        run: an analysed run.
        name: ``joules``, or as the report's files are called, ``joules-<model>``.
        model: which one's, where a run has several.

    Raises:
        UsageError: there is none, or there are several; the message says which there are.
    """
    from analysis.report.figures.catalogue import drawings_of  # matplotlib takes a second to import

    drawings = drawings_of(run)
    wanted = name if model is None else f"{name}-{model}"
    found = [
        one for one in drawings if one.name == wanted or (model is None and one.name.startswith(f"{name}-"))
    ]
    if len(found) != 1:
        there = ", ".join(one.name for one in drawings) or "none, for nothing of it is valid"
        raise UsageError(f"figure {wanted!r}: takes one of the run's figures: {there}")
    [one] = found
    return Figure(one.name, one.title, one.svg, one.description, one.caption)
