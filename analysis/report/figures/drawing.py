"""A figure as a recipe: painted at the width of a page or of a paper's column, the same bytes for the same data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, StringIO
from types import MappingProxyType
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis.report.figures.looks import GREY, GROUND, INK

Width = Literal["page", "single", "double"]
_INCHES: Mapping[str, float] = MappingProxyType({"page": 4.3, "single": 3.5, "double": 7.16})
_FONT: Mapping[str, float] = MappingProxyType({"page": 8.2, "single": 7.5, "double": 8.0})
PHASE_COLOURS: Mapping[str, str] = MappingProxyType(
    {"idle": "#dcdcdc", "warm-up": "#fde0b5", "window": "#cfe6f6", "drain": "#f3d1dc"}
)
_OF_THE_PAGE = {INK: "ink", GREY: "soft", GROUND: "panel"} | {
    colour: f"phase-{name}" for name, colour in PHASE_COLOURS.items()
}
"""Colours that a page sets anew, light or dark, by the names of its variables."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its words; ``paint`` draws into one that has a width, a height and no axes yet."""

    name: str  # of the file; ids in the SVG begin with it
    title: str
    description: str  # what a reader who cannot see it is told
    caption: str  # how to read it
    height: float  # in inches, of all but the legend
    paint: Callable[[Figure], None]

    def figure(self, width: Width = "page") -> Figure:
        """Paint it so wide; whoever saves it decides on the format."""
        with mpl.rc_context(_style(width)):
            figure = Figure(figsize=(_INCHES[width], self.height), layout="constrained")
            self.paint(figure)
        return figure

    def svg_at(self, width: Width) -> str:
        """Return an element without prolog and metadata, with ids of its own."""
        buffer = StringIO()
        with mpl.rc_context(_style(width)):
            self.figure(width).savefig(buffer, format="svg", metadata={"Date": None})
        text = buffer.getvalue()
        text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        return re.sub(r'(href="|url\()#', rf"\g<1>#{self.name}-", text)

    def pdf_at(self, width: Width) -> bytes:
        """Return a whole file, its letters as TrueType: Type 3 is refused by many a journal."""
        buffer = BytesIO()
        with mpl.rc_context(_style(width)):
            self.figure(width).savefig(buffer, format="pdf", metadata={"CreationDate": None})
        return buffer.getvalue()

    @cached_property
    def svg(self) -> str:
        """Give the element for inlining into a page: as wide as its place, and in the page's own light or dark."""
        text = re.sub(
            r'(<svg [^>]*?)width="[^"]*"',
            r"\1",
            re.sub(r'height="[\d.]+pt" ', "", self.svg_at("page"), count=1),
            count=1,
        )
        return re.sub(
            "|".join(_OF_THE_PAGE), lambda colour: f"var(--{_OF_THE_PAGE[colour[0]]}, {colour[0]})", text
        )


def _style(width: Width) -> dict[Any, Any]:
    size = _FONT[width]
    return {
        "svg.hashsalt": "starwatt",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],
        "font.size": size,
        "legend.fontsize": size - 0.5,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": size - 0.5,
        "ytick.labelsize": size - 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.7,
        "lines.linewidth": 1.3,
        "lines.markersize": 5.0,
        "hatch.linewidth": 0.6,
        **dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "hatch.color"),
            INK,
        ),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), GROUND),
    }
