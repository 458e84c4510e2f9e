"""The node as a factor: what each machine of a run showed, and by how much they differ (``tables/nodes``).

log J/request = what is measured (model, variant, load) + where and when (a block on its node). The second part,
averaged over a node's blocks, is that node's; blocks on one node tell how far such means are sure. Gain of the boards'
sensors is in it: nodes that differ by five per cent may draw the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from scipy.special import stdtrit

from analysis.arrays import Floats
from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import CellFigures, ratio_row
from analysis.contrasts.statistics import (
    RatioEstimate,
    estimate_of,
    geometric_mean,
    no_ratio,
    why_no_interval,
)
from analysis.keys import Condition, MeterKey
from traces.layout import CellKey

_SHOWN = ("j_per_request", "j_per_output_token", "power_mean_w", "power_idle_w")
_Unit = tuple[int, str]  # a block on a node


def node_rows(rows: Sequence[Row], nodes: Mapping[CellKey, str]) -> list[Row]:
    """Make ``tables/nodes``: each side on each node, and each node; no rows where a run has a single node."""
    names = sorted(set(nodes.values()))
    if len(names) < 2:
        return []
    figures = CellFigures(rows, nodes)
    shown: list[Row] = []
    for meter in figures.meters:
        for side, node, metric in product(figures.sides, names, _SHOWN):
            values = [value for (_, where), value in _values(figures, side, meter, metric) if where == node]
            if values:
                shown.append(_row(side, node, meter, metric, geometric_mean(values)))
        for model in sorted({side.model for side in figures.sides}):
            ratios = _ratios(figures, model, meter, names)
            shown += [_row((model, None, None), node, meter, "node_ratio", ratios[node]) for node in names]
    return shown


def _values(figures: CellFigures, side: Condition, meter: MeterKey, metric: str) -> list[tuple[_Unit, float]]:
    """Valid and positive figures of a side, of cells that say where they ran."""
    good = figures.good(side, meter, metric).items()
    return [
        ((block, node), value) for block, value in good if (node := figures.node(side, block)) is not None
    ]


def _ratios(
    figures: CellFigures, model: str, meter: MeterKey, names: Sequence[str]
) -> dict[str, RatioEstimate]:
    """Compute, by node, J/request on it over the geometric mean of all nodes, the same things measured."""
    sides = [side for side in figures.sides if side.model == model]
    data = [
        (index, unit, value)
        for index, side in enumerate(sides)
        for unit, value in _values(figures, side, meter, "j_per_request")
    ]
    effects = _unit_effects(data)
    if effects is None:
        return dict.fromkeys(names, no_ratio("node_confounded"))
    by_node = {name: [effect for (_, node), effect in effects.items() if node == name] for name in names}
    logs = {name: np.array(effects_there) for name, effects_there in by_node.items() if effects_there}
    return {name: _ratio(logs, name) if name in logs else no_ratio("no_valid_block") for name in names}


def _ratio(by_node: Mapping[str, Floats], node: str) -> RatioEstimate:
    """Against the mean of the nodes' means; the spread of blocks within nodes is pooled over them."""
    means = {name: float(effects.mean()) for name, effects in by_node.items()}
    centre, blocks = means[node] - float(np.mean(list(means.values()))), by_node[node].size
    freedom = sum(effects.size - 1 for effects in by_node.values())
    if (why := why_no_interval(freedom, by_node.values())) is not None:
        return estimate_of(centre, blocks, reason=why)
    variance = sum(float(((effects - effects.mean()) ** 2).sum()) for effects in by_node.values()) / freedom
    count = len(by_node)
    weights = {name: ((name == node) - 1 / count) ** 2 / effects.size for name, effects in by_node.items()}
    half = float(stdtrit(freedom, 0.975)) * float(np.sqrt(variance * sum(weights.values())))
    return estimate_of(centre, blocks, half=half)


def _unit_effects(data: Sequence[tuple[int, _Unit, float]]) -> dict[_Unit, float] | None:
    """Find by least squares what each block on its node adds to what is measured there; None where they can't be told
    apart (a variant that ran on one node alone, and nothing else beside it)."""
    units = sorted({unit for _, unit, _ in data})
    seen = sorted({side for side, _, _ in data})
    if not units:
        return None
    design = np.zeros((len(data), len(seen) + len(units)))
    for number, (side, unit, _) in enumerate(data):
        design[number, seen.index(side)] = 1
        design[number, len(seen) + units.index(unit)] = 1
    logs = np.log(np.array([value for _, _, value in data]))
    solution, _, rank, _ = np.linalg.lstsq(design, logs, rcond=None)
    if int(rank) < len(seen) + len(units) - 1:
        return None
    return dict(zip(units, (float(effect) for effect in solution[len(seen) :]), strict=True))


def _row(side: Sequence[str | None], node: str, meter: MeterKey, metric: str, estimate: RatioEstimate) -> Row:
    model, variant, load = side
    key = {"model": model, "variant": variant, "load": load, "node": node, **MeterKey.columns(meter)}
    return ratio_row(key, metric, estimate)
