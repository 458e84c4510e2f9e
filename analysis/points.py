"""Cells as points: one per model, variant and load, blocks averaged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.cells.rows import Row
from analysis.contrasts.starts import StartOf, geometric_means
from analysis.contrasts.statistics import geometric_mean
from analysis.energy.boundary import rank
from analysis.keys import Condition, MeterKey

Bounds = tuple[float, float]  # of an interval


@dataclass(frozen=True)
class Point:
    """One variant under one load: per metric, the valid values of its blocks in order."""

    model: str
    variant: str
    load: str
    blocks: int  # cells, valid or not
    values: Mapping[str, tuple[float, ...]]
    reasons: Mapping[str, tuple[str, ...]]  # per metric, why blocks are missing
    # Of each value's measurement.
    bounds: Mapping[str, tuple[Bounds | None, ...]] = field(default_factory=dict)
    one_engine_start: bool = False  # its blocks are of one, so that how starts differ is in none of them
    # Which engine start each value is of; where a metric is missing, each is of its own.
    starts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def condition(self) -> Condition:
        """Name what it is of."""
        return Condition(self.model, self.variant, self.load)

    def mean(self, metric: str) -> float | None:
        """Return the mean of the valid blocks, or None."""
        known = self.values.get(metric, ())
        return float(np.mean(known)) if known else None

    def interval(self, metric: str) -> Bounds | None:
        """Return 95 % for the mean over blocks, by t on logarithms; None below three, or if one start made them all."""
        known = self.values.get(metric, ())
        if self.one_engine_start or min(known, default=0.0) <= 0:
            return None
        return geometric_mean(self.by_start(metric)).bounds

    def by_start(self, metric: str) -> list[float]:
        """Return the valid values, positive, of blocks that share an engine start as one: their geometric mean."""
        known = self.values[metric]
        return geometric_means(known, self.starts.get(metric, range(len(known))))

    def why(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Return all reasons that stand against these metrics in any block."""
        return tuple(sorted({reason for metric in metrics for reason in self.reasons.get(metric, ())}))


def naturally(name: str) -> tuple[Any, ...]:
    """Sort numbers in names by size: ``closed-4`` before ``closed-16``."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def meters_in(rows: Iterable[Row]) -> tuple[MeterKey, ...]:
    """List the meters that rows of ``tables/cells`` are by, first the one that is shown where there is room for one."""
    meters = {meter for row in rows if (meter := MeterKey.of(row)) is not None}
    return tuple(sorted(meters, key=lambda meter: rank(*meter)))


def passed_in(rows: Iterable[Row], tests: str = "plus") -> dict[Condition, dict[str, float]]:
    """Give the share of samples that passed by condition and graded task, all blocks together.

    Args:
        rows: of ``tables/accuracy``.
        tests: ``base``, or ``plus``: base and plus.
    """
    counts: dict[Condition, dict[str, tuple[int, int]]] = {}
    for row in rows:
        if row["graded"] and row["samples"]:
            counts.setdefault(Condition.of(row), {})[row["task_id"]] = row[f"{tests}_passed"], row["samples"]
    return {side: {task: k / n for task, (k, n) in tasks.items()} for side, tasks in counts.items()}


def points_of(
    rows: Sequence[Row],
    started_once: Callable[[str], bool],
    start_of: StartOf = lambda block: block,
) -> list[Point]:
    """Average the rows of ``tables/cells`` over blocks: a point a condition, sorted.

    Args:
        rows: of the metrics that have no boundary, and of one meter.
        started_once: whether all blocks of a variant are of one engine start.
        start_of: which start of a variant's engine serves a block.
    """
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["model"], row["variant"], row["load"]), []).append(row)
    sides = [(Condition(*side), rows_of_side) for side, rows_of_side in sorted(grouped.items())]
    return [_point(side, rows_of_side, started_once(side.variant), start_of) for side, rows_of_side in sides]


def _point(side: Condition, rows: Sequence[Row], one_engine_start: bool, start_of: StartOf) -> Point:
    values: dict[str, list[float]] = {}
    starts: dict[str, list[int]] = {}
    bounds: dict[str, list[Bounds | None]] = {}
    reasons: dict[str, set[str]] = {}
    for row in rows:
        if row["valid"] and row["value"] is not None:
            values.setdefault(row["metric"], []).append(row["value"])
            bounds.setdefault(row["metric"], []).append(_bounds(row))
            starts.setdefault(row["metric"], []).append(start_of(row["block"]))
        reasons.setdefault(row["metric"], set()).update(row["reasons"])
    return Point(
        *side,
        blocks=len({row["block"] for row in rows}),
        values={metric: tuple(known) for metric, known in values.items()},
        reasons={metric: tuple(sorted(why)) for metric, why in reasons.items() if why},
        bounds={metric: tuple(known) for metric, known in bounds.items()},
        one_engine_start=one_engine_start,
        starts={metric: tuple(of) for metric, of in starts.items()},
    )


def _bounds(row: Mapping[str, Any]) -> Bounds | None:
    """Return the interval of one block's measurement, or of its search, where it has one."""
    if row["interval_kind"] not in ("measurement", "search") or row["lo"] is None or row["hi"] is None:
        return None
    return row["lo"], row["hi"]
