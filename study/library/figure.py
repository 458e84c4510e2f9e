"""A figure of a run, as a notebook shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Draw the report's figure of this name, such as ``joules``.

    Args:
        run: an analysed run.
        name: one of analysis/report/figures/catalogue.py.
        model: which one's, where a run has several.

    Raises:
        UsageError: there is none, or ``model`` is missing where there are several; the message says which there are.
    """
    from analysis.report.figures.catalogue import drawing_of  # matplotlib takes a second to import

    drawn = drawing_of(run, name, model)
    return Figure(drawn.name, drawn.title, drawn.svg, drawn.description, drawn.caption)
