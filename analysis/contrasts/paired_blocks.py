"""Cell rows by what they are of, and the rows of ``tables/contrasts`` that are made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.cells.rows import Row
from analysis.contrasts.statistics import RatioEstimate
from traces.layout import CellKey

Side = tuple[str, str, str]  # model, variant, load


@dataclass(frozen=True)
class _Figure:
    value: float | None
    valid: bool
    reasons: tuple[str, ...]
    hi: float | None = None


class CellFigures:
    """Cell rows by what they are of: the figures that contrasts are made from."""

    def __init__(self, rows: Sequence[Row], nodes: Mapping[CellKey, str] | None = None) -> None:
        """``nodes`` says where cells ran, as far as that is known."""
        self._nodes = nodes or {}
        self._figures: dict[tuple[Any, ...], _Figure] = {}
        self.sides: list[Side] = sorted({(row["model"], row["variant"], row["load"]) for row in rows})
        self._blocks: dict[Side, set[int]] = {}
        self.boundaries: list[tuple[str, str]] = sorted(
            {(row["boundary"], row["source"]) for row in rows if row["boundary"] is not None}
        )
        for row in rows:
            side = (row["model"], row["variant"], row["load"])
            self._blocks.setdefault(side, set()).add(row["block"])
            place = (*side, row["block"], row["boundary"], row["source"], row["metric"])
            self._figures[place] = _Figure(row["value"], row["valid"], tuple(row["reasons"]), row["hi"])

    def blocks(self, one: Side, other: Side) -> list[int]:
        """Blocks that both sides have."""
        return sorted(self._blocks.get(one, set()) & self._blocks.get(other, set()))

    def node(self, side: Side, block: int) -> str | None:
        """Where a cell ran; None where that is not known."""
        return self._nodes.get(CellKey(*side, block))

    def nodes(self, side: Side) -> set[str]:
        """Where its blocks ran."""
        return {node for block in self.blocks(side, side) if (node := self.node(side, block)) is not None}

    def get(self, side: Side, block: int, pair: tuple[str, str] | None, metric: str) -> _Figure:
        """A figure; one that is not in the table is invalid for the reasons of the cell's window."""
        boundary, source = pair or (None, None)
        found = self._figures.get((*side, block, boundary, source, metric))
        if found is not None:
            return found
        window = self._figures.get((*side, block, None, None, "window_s"))
        return _Figure(None, False, (window.reasons if window and window.reasons else ("no_power",)))


def paired_blocks(
    figures: CellFigures, one: Side, other: Side, pair: tuple[str, str] | None, metric: str
) -> tuple[list[int], tuple[str, ...]]:
    """Blocks in which both sides are valid and positive; where there is none, the reasons.

    Where both sides of some blocks ran on one node, the blocks whose sides did not are left out (``nodes_differ``).
    Where no block is so, all are taken, and the ratio holds the nodes' difference too: ``node_confounded``.
    """
    used, reasons = [], {"no_valid_block"}
    for block in figures.blocks(one, other):
        both = [figures.get(side, block, pair, metric) for side in (one, other)]
        positive = all(figure.value is not None and figure.value > 0 for figure in both)
        if positive and all(figure.valid for figure in both):
            used.append(block)
        else:
            reasons.update(reason for figure in both for reason in figure.reasons)
            if all(figure.valid for figure in both):
                reasons.add("not_positive")
    if not used:
        return used, tuple(sorted(reasons))
    together = [block for block in used if _on_one_node(figures, one, other, block)]
    if not together:
        return used, ("node_confounded",)
    return together, () if len(together) == len(used) else ("nodes_differ",)


def _on_one_node(figures: CellFigures, one: Side, other: Side, block: int) -> bool:
    nodes = {figures.node(one, block), figures.node(other, block)}
    return None in nodes or len(nodes) == 1


def key_of(contrast: str, side: Side, reference: Side, pair: tuple[str | None, str | None]) -> Row:
    """The columns that say what a contrast is of."""
    return {
        "model": side[0],
        "contrast": contrast,
        "variant": side[1],
        "reference_variant": reference[1],
        "load": side[2],
        "reference_load": reference[2],
        "boundary": pair[0],
        "source": pair[1],
    }


def ratio_row(key: Row, metric: str, estimate: RatioEstimate, no_interval: tuple[str, ...]) -> Row:
    """A ratio; ``no_interval`` says why an interval that could be computed is not given."""
    reasons = sorted({*estimate.reasons, *no_interval})
    shown = not no_interval and estimate.lo is not None
    return {
        **key,
        "blocks": estimate.blocks,
        "metric": metric,
        "value": estimate.ratio,
        "unit": "ratio",
        "lo": estimate.lo if shown else None,
        "hi": estimate.hi if shown else None,
        "interval_kind": "blocks" if shown else None,
        "valid": estimate.ratio is not None,
        "reasons": reasons,
    }


def value_row(
    key: Row, metric: str, value: float | None, unit: str, blocks: int, reasons: tuple[str, ...]
) -> Row:
    return {
        **key,
        "blocks": blocks,
        "metric": metric,
        "value": value,
        "unit": unit,
        "lo": None,
        "hi": None,
        "interval_kind": None,
        "valid": value is not None,
        "reasons": sorted(reasons),
    }
