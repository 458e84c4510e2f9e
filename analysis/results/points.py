"""The derived tables as figures to show: one ``Point`` per model, variant and load, blocks averaged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from analysis.cells.rows import Row
from analysis.cells.task_set import TaskSet
from analysis.contrasts.statistics import geometric_mean
from analysis.keys import Condition, MeterKey
from analysis.opened import OpenedRun
from configs.loads import is_probe
from traces.layout import CellKey

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

    @property
    def condition(self) -> Condition:
        """Name what it is of."""
        return Condition(self.model, self.variant, self.load)

    def mean(self, metric: str) -> float | None:
        """The mean of the valid blocks, or None."""
        known = self.values.get(metric, ())
        return float(np.mean(known)) if known else None

    def interval(self, metric: str) -> Bounds | None:
        """95 % for the mean over blocks, Student t on logarithms; None below three, or if one start made them all."""
        known = self.values.get(metric, ())
        if self.one_engine_start or min(known, default=0.0) <= 0:
            return None
        return geometric_mean(known).bounds

    def why(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """All reasons that stand against these metrics in any block."""
        return tuple(sorted({reason for metric in metrics for reason in self.reasons.get(metric, ())}))


@dataclass(frozen=True)
class Contrast:
    """One comparison: its metrics, each a row of ``tables/contrasts``."""

    model: str
    kind: str  # batched_vs_single, variant_vs_baseline, variant_vs_control, saturation, crossover, drift, accuracy_…
    variant: str
    reference_variant: str
    load: str
    reference_load: str
    metrics: Mapping[str, Mapping[str, Any]]

    @property
    def side(self) -> Condition:
        """Name what is compared."""
        return Condition(self.model, self.variant, self.load)

    @property
    def reference(self) -> Condition:
        """Name what it is compared with."""
        return Condition(self.model, self.reference_variant, self.reference_load)

    def value(self, metric: str) -> float | None:
        """The metric's value, or None."""
        row = self.metrics.get(metric)
        return None if row is None else row["value"]

    def why(self, *metrics: str) -> str:
        """List all reasons that stand at these metrics, in one line."""
        return ", ".join(
            sorted({code for name in metrics for code in self.metrics.get(name, {}).get("reasons", ())})
        )


@dataclass(frozen=True)
class Results:
    """Hold what a run says, with joules of one boundary and source."""

    pair: MeterKey | None  # None: no power at all
    pairs: tuple[MeterKey, ...]  # all that were recorded
    points: tuple[Point, ...]
    contrasts: tuple[Contrast, ...]
    cell_rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    memorised: frozenset[str] = frozenset()  # models that were fitted to the tasks they are graded on
    task_set: TaskSet = field(default_factory=lambda: TaskSet(None, None))
    graded: Mapping[Condition, int] = field(default_factory=dict)
    """By model, variant and load: of how many tasks its pass@1 is."""

    @property
    def estimated(self) -> bool:
        """Tell whether the joules are modelled: CPU time x watts."""
        return self.pair is not None and self.pair.modelled

    @property
    def models(self) -> list[str]:
        """List the models, in order."""
        return sorted({point.model for point in self.points})

    def of_tasks(self, point: Point) -> str:
        """Say of how many tasks of how many the pass@1 of a point is; a dash where it has none."""
        tasks = self.graded.get(point.condition)
        return "–" if tasks is None else self.task_set.count(tasks)

    @property
    def tasks_words(self) -> str:
        """Say of which tasks any pass@1 of the run is, the smallest number of them."""
        return self.task_set.words(min(self.graded.values())) if self.graded else ""

    @property
    def damaged(self) -> frozenset[CellKey]:
        """Cells of which nothing is to be believed."""
        return frozenset(
            CellKey(row["model"], row["variant"], row["load"], row["block"])
            for row in self.cell_rows
            if "trace_damaged" in row["reasons"]
        )

    def of(self, model: str, *kinds: str) -> list[Contrast]:
        """List the contrasts of a model, kind by kind."""
        return [one for kind in kinds for one in self.contrasts if (one.model, one.kind) == (model, kind)]

    def point(self, side: Condition) -> Point | None:
        """Return the point of a condition, or None."""
        return next((one for one in self.points if one.condition == side), None)

    def by_block(self, side: Condition, name: str, meter: MeterKey | None) -> dict[int, float]:
        """Return the valid values of a metric by block; ``meter`` is None for metrics that have no boundary."""
        return self._valid.get((side, name, meter), {})

    @cached_property
    def _valid(self) -> Mapping[tuple[Condition, str, MeterKey | None], dict[int, float]]:
        found: dict[tuple[Condition, str, MeterKey | None], dict[int, float]] = {}
        for row in self.cell_rows:
            if row["valid"] and row["value"] is not None:
                place = Condition.of(row), row["metric"], MeterKey.of(row)
                found.setdefault(place, {})[row["block"]] = row["value"]
        return found


def read_results(run: OpenedRun, meter: MeterKey | None = None) -> Results:
    """Say what a run's tables hold; joules are those of ``meter``, by default the first by rank.

    Raises:
        TraceError: the tables are not there.
    """
    chosen = meter or next(iter(run.meters), None)
    shown = [row for row in run.cells if MeterKey.of(row) in (None, chosen) and not is_probe(row["load"])]
    contrasts = _contrasts(row for row in run.rows("contrasts") if MeterKey.of(row) in (None, chosen))
    order = _order(contrasts)
    return Results(
        pair=chosen,
        pairs=run.meters,
        points=tuple(sorted(_points(shown, run.context.started_once), key=order)),
        contrasts=tuple(sorted(contrasts, key=order)),
        cell_rows=tuple(run.cells),
        memorised=run.memorised,
        task_set=run.task_set,
        graded={side: len(tasks) for side, tasks in run.passed.items()},
    )


def _order(contrasts: Sequence[Contrast]) -> Callable[[Point | Contrast], tuple[Any, ...]]:
    """Sorts the baseline before other variants, and single-stream before other loads, these by the numbers in them."""
    baselines = {one.reference_variant for one in contrasts if one.kind == "variant_vs_baseline"}
    singles = {one.reference_load for one in contrasts if one.kind == "batched_vs_single"}
    return lambda one: (
        one.model, one.variant not in baselines, one.variant, one.load not in singles, *_naturally(one.load),
    )  # fmt: skip


def _naturally(name: str) -> tuple[Any, ...]:
    """Sorts numbers in names by size: ``closed-4`` before ``closed-16``."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def _points(rows: Sequence[Row], started_once: Callable[[str], bool]) -> list[Point]:
    grouped: dict[Condition, list[Row]] = {}
    for row in rows:
        grouped.setdefault(Condition.of(row), []).append(row)
    return [_point(side, own, started_once(side.variant)) for side, own in sorted(grouped.items())]


def _point(side: Condition, rows: Sequence[Row], one_engine_start: bool) -> Point:
    values: dict[str, list[float]] = {}
    bounds: dict[str, list[Bounds | None]] = {}
    reasons: dict[str, set[str]] = {}
    for row in rows:
        if row["valid"] and row["value"] is not None:
            values.setdefault(row["metric"], []).append(row["value"])
            bounds.setdefault(row["metric"], []).append(_bounds(row))
        reasons.setdefault(row["metric"], set()).update(row["reasons"])
    return Point(
        *side,
        blocks=len({row["block"] for row in rows}),
        values={metric: tuple(known) for metric, known in values.items()},
        reasons={metric: tuple(sorted(why)) for metric, why in reasons.items() if why},
        bounds={metric: tuple(known) for metric, known in bounds.items()},
        one_engine_start=one_engine_start,
    )


def _bounds(row: Mapping[str, Any]) -> Bounds | None:
    """The interval of one block's measurement, where it has one."""
    if row["interval_kind"] != "measurement" or row["lo"] is None or row["hi"] is None:
        return None
    return row["lo"], row["hi"]


def _contrasts(rows: Iterable[Row]) -> list[Contrast]:
    names = ("model", "contrast", "variant", "reference_variant", "load", "reference_load")
    grouped: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[name] for name in names), {})[row["metric"]] = row
    renamed = {"contrast": "kind"}
    return [
        Contrast(
            **{renamed.get(name, name): part for name, part in zip(names, place, strict=True)},
            metrics=metrics,
        )
        for place, metrics in sorted(grouped.items())
    ]
