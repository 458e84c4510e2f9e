"""The node as a factor: what each machine of a run showed, and by how much they differ (``tables/nodes``).

log J/request = what is measured (model, variant, load) + where and when (a block on its node). The second part,
averaged over a node's blocks, is that node's; blocks on one node tell how far such means are sure. Gain of the boards'
sensors is in it: nodes that differ by five per cent may draw the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from analysis.arrays import Floats
from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import CellFigures, Side
from analysis.contrasts.statistics import MIN_BLOCKS, agree, student_t
from traces.layout import CellKey

_SHOWN = ("j_per_request", "j_per_output_token", "power_mean_w", "power_idle_w")
_Pair = tuple[str, str]
_Unit = tuple[int, str]  # a block on a node


def node_rows(rows: Sequence[Row], nodes: Mapping[CellKey, str]) -> list[Row]:
    """Rows of ``tables/nodes``: of each side on each node, and of each node; none where a run has a single node."""
    names = sorted(set(nodes.values()))
    if len(names) < 2:
        return []
    figures = CellFigures(rows, nodes)
    units = {(row["metric"], row["boundary"], row["source"]): row["unit"] for row in rows}
    found: list[Row] = []
    for pair in figures.boundaries:
        for side in figures.sides:
            for node in names:
                for metric in _SHOWN:
                    values = [value for _, value in _values(figures, side, pair, metric, node)]
                    if values:
                        found.append(_mean_row(side, node, pair, metric, units[metric, *pair], values))
        for model in sorted({side[0] for side in figures.sides}):
            found += _differences(figures, model, pair, names)
    return found


def _values(
    figures: CellFigures, side: Side, pair: _Pair, metric: str, node: str | None = None
) -> list[tuple[_Unit, float]]:
    """Valid and positive figures of a side, on one node or on all whose cells say where they ran."""
    found = []
    for block in figures.blocks(side, side):
        where = figures.node(side, block)
        figure = figures.get(side, block, pair, metric)
        good = figure.valid and figure.value is not None and figure.value > 0
        if good and figure.value is not None and where is not None and node in (None, where):
            found.append(((block, where), figure.value))
    return found


def _mean_row(side: Side, node: str, pair: _Pair, metric: str, unit: str, values: list[float]) -> Row:
    """The geometric mean over a side's blocks on one node."""
    logs = np.log(np.array(values))
    row = _row((side[0], side[1], side[2]), node, pair, metric, unit, len(values))
    row.update(value=float(np.exp(logs.mean())), valid=True)
    if logs.size < MIN_BLOCKS:
        row["reasons"] = ["too_few_blocks"]
    elif agree(logs):
        row["reasons"] = ["blocks_agree"]
    else:
        centre, half = (float(one) for one in student_t(logs))
        row.update(lo=float(np.exp(centre - half)), hi=float(np.exp(centre + half)), interval_kind="blocks")
    return row


def _differences(figures: CellFigures, model: str, pair: _Pair, names: Sequence[str]) -> list[Row]:
    """``node_ratio``: J/request on a node over the geometric mean of all nodes, the same things measured."""
    sides = [side for side in figures.sides if side[0] == model]
    data = [
        (index, unit, value)
        for index, side in enumerate(sides)
        for unit, value in _values(figures, side, pair, "j_per_request")
    ]
    effects = _unit_effects(data)
    found = []
    for node in names:
        row = _row((model, None, None), node, pair, "node_ratio", "ratio", 0)
        found.append(row)
        if effects is None:
            row["reasons"] = ["node_confounded"]
            continue
        by_node = {name: [e for (_, where), e in effects.items() if where == name] for name in names}
        row["blocks"] = len(by_node[node])
        if not by_node[node]:
            row["reasons"] = ["no_valid_block"]
            continue
        row.update(_ratio({name: np.array(own) for name, own in by_node.items() if own}, node))
    return found


def _ratio(by_node: Mapping[str, Floats], node: str) -> dict[str, Any]:
    """Against the mean of the nodes' means; the spread of blocks within nodes is pooled over them."""
    means = {name: float(own.mean()) for name, own in by_node.items()}
    ratio = means[node] - float(np.mean(list(means.values())))
    freedom = sum(own.size - 1 for own in by_node.values())
    told: dict[str, Any] = {"value": float(np.exp(ratio)), "valid": True}
    if freedom < 2:
        return {**told, "reasons": ["too_few_blocks"]}
    if all(map(agree, by_node.values())):
        return {**told, "reasons": ["blocks_agree"]}
    variance = sum(float(((own - own.mean()) ** 2).sum()) for own in by_node.values()) / freedom
    count = len(by_node)
    weights = {name: ((name == node) - 1 / count) ** 2 / own.size for name, own in by_node.items()}
    half = float(stdtrit(freedom, 0.975)) * float(np.sqrt(variance * sum(weights.values())))
    return {
        **told,
        "lo": float(np.exp(ratio - half)),
        "hi": float(np.exp(ratio + half)),
        "interval_kind": "blocks",
    }


def _unit_effects(data: Sequence[tuple[int, _Unit, float]]) -> dict[_Unit, float] | None:
    """By least squares, what each block on its node adds to what is measured there; None where the two can't be told
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
    return dict(zip(units, (float(one) for one in solution[len(seen) :]), strict=True))


def _row(
    side: tuple[str, str | None, str | None], node: str, pair: _Pair, metric: str, unit: str, blocks: int
) -> Row:
    return {
        "model": side[0],
        "variant": side[1],
        "load": side[2],
        "node": node,
        "boundary": pair[0],
        "source": pair[1],
        "blocks": blocks,
        "metric": metric,
        "value": None,
        "unit": unit,
        "lo": None,
        "hi": None,
        "interval_kind": None,
        "valid": False,
        "reasons": [],
    }
