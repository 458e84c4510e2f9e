"""By what variants, loads, runs and devices are told apart in a figure: up to the numbers here no two look alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Okabe and Ito's colours, told apart by readers with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
MARKERS = (*_SHAPES, *(rf"$\mathrm{{{letter}}}$" for letter in "ABCDEFGHIJKLMNOP"))
"""Of variants and runs, whatever their colour: eight shapes, then letters."""
_LINES = ("-", "--", "-.", ":")
_GROUND = "#ffffff"

MOST_VARIANTS = len(MARKERS)
MOST_LOADS = 2 * len(COLOURS)
MOST_DEVICES = len(_LINES) * len(COLOURS)


@dataclass(frozen=True)
class Look:
    """A colour, and what is inside of a mark or bar: the colour too, or the ground."""

    colour: str
    inside: str

    @property
    def bar(self) -> dict[str, Any]:
        """As matplotlib's bars and areas take it."""
        edge = 0.0 if self.inside == self.colour else 1.5
        return {"facecolor": self.inside, "edgecolor": self.colour, "linewidth": edge}


def look_of_load(k: int) -> Look:
    """The k-th load's: a colour of its own, or from the ninth on the same colours hollow."""
    colour = COLOURS[k % len(COLOURS)]
    return Look(colour, colour if k % MOST_LOADS < len(COLOURS) else _GROUND)


def marker_of(k: int) -> tuple[str, str]:
    """Colour and marker of the k-th variant or run that has no load's colour; the marker alone tells them apart."""
    return COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]


def line_of(k: int) -> tuple[str, str]:
    """Colour and line style of the k-th device."""
    return COLOURS[k % len(COLOURS)], _LINES[k // len(COLOURS) % len(_LINES)]
