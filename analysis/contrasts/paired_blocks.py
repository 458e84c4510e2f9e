"""Cell rows by what they are of, and the rows of ``tables/contrasts`` that are made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from analysis.cells.rows import Bounds, Row, figure
from analysis.contrasts.statistics import RatioEstimate
from analysis.keys import Condition, MeterKey
from traces.layout import CellKey

USED = frozenset(
    {
        "window_s", "j_per_request", "j_per_request_net", "j_per_request_idle", "j_per_output_token",
        "tokens_per_request", "request_rate", "power_mean_w", "power_idle_w", "energy_gain", "energy_gain_offset_w",
        "rate_found", "j_per_request_in_slo",
    }
)  # fmt: skip
"""What cells are compared by: a run has ten times as many figures, which no contrast looks at."""


class _Figure(NamedTuple):
    value: float | None
    valid: bool
    reasons: Sequence[str]
    hi: float | None = None

    @property
    def good(self) -> float | None:
        """Return its value where that is valid and positive, so that it has a logarithm."""
        return self.value if self.valid and self.value is not None and self.value > 0 else None


class CellFigures:
    """Cell rows by what they are of: the figures that contrasts are made from."""

    def __init__(self, rows: Sequence[Row], nodes: Mapping[CellKey, str] | None = None) -> None:
        """``nodes`` says where cells ran, as far as that is known."""
        self._nodes = nodes or {}
        self._figures: dict[tuple[Condition, MeterKey | None, str], dict[int, _Figure]] = {}
        self._blocks: dict[Condition, set[int]] = {}
        of: dict[tuple[str | None, ...], dict[int, _Figure]] = {}
        for row in rows:
            place = (row["model"], row["variant"], row["load"], row["boundary"], row["source"], row["metric"])
            figures = of.get(place)
            if figures is None:
                side, meter = Condition.of(row), MeterKey.of(row)
                figures = of[place] = self._figures.setdefault((side, meter, row["metric"]), {})
            figures[row["block"]] = _Figure(row["value"], row["valid"], row["reasons"], row["hi"])
        for (side, _, _), figures in self._figures.items():
            self._blocks.setdefault(side, set()).update(figures)
        self.sides = sorted(self._blocks)
        self.meters = sorted({meter for _, meter, _ in self._figures if meter is not None})

    def blocks(self, side: Condition, other: Condition) -> list[int]:
        """Return blocks that both sides have."""
        return sorted(self._blocks.get(side, set()) & self._blocks.get(other, set()))

    def node(self, side: Condition, block: int) -> str | None:
        """Name the node on which a cell ran; None where that is not known."""
        return self._nodes.get(side.cell(block))

    def nodes(self, side: Condition) -> set[str]:
        """Name the nodes on which its blocks ran."""
        return {node for block in self.blocks(side, side) if (node := self.node(side, block)) is not None}

    def get(self, side: Condition, block: int, meter: MeterKey | None, metric: str) -> _Figure:
        """Return a figure; one that is not in the table is invalid for the reasons of the cell's window."""
        figure_found = self._figures.get((side, meter, metric), {}).get(block)
        if figure_found is not None:
            return figure_found
        window = self._figures.get((side, None, "window_s"), {}).get(block)
        return _Figure(None, False, (window.reasons if window and window.reasons else ("no_power",)))

    def good(self, side: Condition, meter: MeterKey | None, metric: str) -> dict[int, float]:
        """Return its valid and positive values by block, in order."""
        values = {block: self.get(side, block, meter, metric).good for block in self.blocks(side, side)}
        return {block: value for block, value in values.items() if value is not None}


def paired_blocks(
    figures: CellFigures, side: Condition, other: Condition, meter: MeterKey | None, metric: str
) -> tuple[list[int], tuple[str, ...]]:
    """Return blocks in which both sides are valid and positive; where there is none, the reasons.

    Where both sides of some blocks ran on one node, the blocks whose sides did not are left out (``nodes_differ``).
    Where no block is so, all are taken, and the ratio holds the nodes' difference too: ``node_confounded``.
    """
    used, reasons = [], {"no_valid_block"}
    for block in figures.blocks(side, other):
        both = [figures.get(condition, block, meter, metric) for condition in (side, other)]
        if None not in [figure.good for figure in both]:
            used.append(block)
        elif all(figure.valid for figure in both):
            reasons.add("not_positive")
        reasons.update(reason for figure in both for reason in figure.reasons)
    if not used:
        return [], tuple(sorted(reasons))
    together = [block for block in used if _on_one_node(figures, side, other, block)]
    if not together:
        return used, ("node_confounded",)
    return together, () if len(together) == len(used) else ("nodes_differ",)


def _on_one_node(figures: CellFigures, side: Condition, other: Condition, block: int) -> bool:
    nodes = {figures.node(side, block), figures.node(other, block)}
    return None in nodes or len(nodes) == 1


def key_of(contrast: str, side: Condition, reference: Condition, meter: MeterKey | None) -> Row:
    """Return the columns that say what a contrast is of."""
    return {
        "model": side.model,
        "contrast": contrast,
        "variant": side.variant,
        "reference_variant": reference.variant,
        "load": side.load,
        "reference_load": reference.load,
        **MeterKey.columns(meter),
    }


def ratio_row(key: Row, name: str, estimate: RatioEstimate, no_interval: Sequence[str] = ()) -> Row:
    """Make the row of a ratio; ``no_interval`` says why an interval that could be computed is not given."""
    bounds = None if no_interval else estimate.bounds
    reasons = (*estimate.reasons, *no_interval)
    row = figure(name, estimate.ratio, reasons, bounds=bounds, kind=estimate.kind)
    return {**key, "blocks": estimate.blocks, **row}


def value_row(
    key: Row,
    name: str,
    value: float | None,
    blocks: int,
    reasons: Iterable[str] = (),
    *,
    bounds: Bounds | None = None,
    kind: str = "blocks",
) -> Row:
    """Make a row of a metric that so many blocks tell; for the rest see ``figure``."""
    return {**key, "blocks": blocks, **figure(name, value, reasons, bounds=bounds, kind=kind)}
