"""By what variants, loads and devices are told apart: a variant has one colour in all figures, a load one shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.results.points import Results

# Okabe and Ito's colours, told apart by readers with any colour vision; the yellow is darker, to be seen on white.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#b8a800")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
SHAPES = (*_SHAPES, *(rf"$\mathrm{{{letter}}}$" for letter in "ABCDEFGH"))
"""Of loads, and of runs: eight shapes, then letters."""
LineStyle = Literal["-", "--", "-.", ":"]
_LINES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
INK, GREY, GROUND = "#1b1f24", "#6e7781", "#ffffff"
_TIERS = 3  # each colour filled, then hollow, then filled with a dark edge

MOST_VARIANTS = _TIERS * len(COLOURS)
MOST_LOADS = len(SHAPES)
MOST_DEVICES = len(_LINES) * len(COLOURS)


@dataclass(frozen=True)
class Look:
    """A variant's: the colour of its lines, and what is inside of its marks and bars and around them."""

    colour: str
    inside: str
    edge: str
    line: LineStyle

    @property
    def bar(self) -> dict[str, Any]:
        """Give it as matplotlib's bars and areas take it."""
        return {"facecolor": self.inside, "edgecolor": self.edge, "linewidth": 0.0 if self.plain else 1.2}

    @property
    def mark(self) -> dict[str, Any]:
        """Give it as matplotlib's markers take it."""
        return {"color": self.colour, "markerfacecolor": self.inside, "markeredgecolor": self.edge}

    @property
    def plain(self) -> bool:
        """Say whether it is one colour throughout."""
        return self.inside == self.edge == self.colour


def look_of(k: int) -> Look:
    """Return the look of the k-th variant."""
    colour, tier = COLOURS[k % len(COLOURS)], k // len(COLOURS) % _TIERS
    inside, edge = ((colour, colour), (GROUND, colour), (colour, INK))[tier]
    return Look(colour, inside, edge, _LINES[tier])


@dataclass(frozen=True)
class Palette:
    """The colours and shapes of a run's variants and loads, in all of its figures."""

    variants: Sequence[str]
    loads: Sequence[str]

    def variant(self, name: str) -> Look:
        """Look a variant up."""
        return look_of(self.variants.index(name))

    def shape(self, load: str) -> str:
        """Return the marker of a load."""
        return SHAPES[self.loads.index(load) % len(SHAPES)]


def palette_of(results: Iterable[Results]) -> Palette:
    """Give looks in the order in which names come first; several runs share them, as they share names."""
    points = [point for run_results in results for point in run_results.points]
    return Palette(
        tuple(dict.fromkeys(point.variant for point in points)),
        tuple(dict.fromkeys(point.load for point in points)),
    )


def line_of(k: int) -> tuple[str, LineStyle]:
    """Return colour and line style of the k-th device."""
    return COLOURS[k % len(COLOURS)], _LINES[k // len(COLOURS) % len(_LINES)]
