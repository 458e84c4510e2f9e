"""The derived tables as figures to show: one ``Point`` per model, variant and load, blocks averaged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.cells.cell import read_context
from analysis.cells.task_set import TaskSet
from analysis.contrasts.statistics import paired_ratio
from analysis.energy.boundary import rank
from analysis.tables import read_table
from configs.loads import is_probe
from starwatt_errors import TraceError
from traces.cell import read_cell
from traces.layout import CellKey, RunDir

Pair = tuple[str, str]  # boundary, source
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
    bounds: Mapping[str, tuple[Bounds | None, ...]] = field(
        default_factory=dict
    )  # beside values: measurement's
    one_engine_start: bool = False  # its blocks are of one, so that how starts differ is in none of them

    def mean(self, metric: str) -> float | None:
        """The mean of the valid blocks, or None."""
        known = self.values.get(metric, ())
        return float(np.mean(known)) if known else None

    def interval(self, metric: str) -> Bounds | None:
        """95 % for the mean over blocks, Student t on logarithms; None below three, or if one start made them all."""
        known = self.values.get(metric, ())
        if self.one_engine_start or min(known, default=0.0) <= 0:
            return None
        found = paired_ratio(known, [1.0] * len(known))
        return None if found.lo is None or found.hi is None else (found.lo, found.hi)

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

    def value(self, metric: str) -> float | None:
        """The metric's value, or None."""
        row = self.metrics.get(metric)
        return None if row is None else row["value"]

    def why(self, *metrics: str) -> str:
        """All reasons that stand at these metrics, in one line."""
        return ", ".join(
            sorted({code for name in metrics for code in self.metrics.get(name, {}).get("reasons", ())})
        )


@dataclass(frozen=True)
class Results:
    """What a run says, with joules of one boundary and source."""

    pair: Pair | None  # None: no power at all
    pairs: tuple[Pair, ...]  # all that were recorded
    points: tuple[Point, ...]
    contrasts: tuple[Contrast, ...]
    cell_rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    memorised: frozenset[str] = frozenset()  # models that were fitted to the tasks they are graded on
    task_set: TaskSet = field(default_factory=lambda: TaskSet(None, None))
    graded: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """By model, variant and load: of how many tasks its pass@1 is."""

    @property
    def estimated(self) -> bool:
        """Whether the joules are modelled: CPU time x watts."""
        return self.pair is not None and self.pair[1] == "modelled"

    @property
    def models(self) -> list[str]:
        """In order."""
        return sorted({point.model for point in self.points})

    def of_tasks(self, point: Point) -> str:
        """Of how many tasks of how many the pass@1 of a point is; a dash where it has none."""
        tasks = self.graded.get((point.model, point.variant, point.load))
        return "–" if tasks is None else self.task_set.count(tasks)

    @property
    def tasks_words(self) -> str:
        """Of which tasks any pass@1 of the run is, the smallest number of them."""
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
        """The contrasts of a model, kind by kind."""
        return [one for kind in kinds for one in self.contrasts if (one.model, one.kind) == (model, kind)]

    def point(self, model: str, variant: str, load: str) -> Point | None:
        """One of them, or None."""
        found = [one for one in self.points if (one.model, one.variant, one.load) == (model, variant, load)]
        return found[0] if found else None


def read_results(run: RunDir, pair: Pair | None = None) -> Results:
    """Read ``tables/cells`` and ``tables/contrasts``; joules are those of ``pair``, by default the first by rank.

    Raises:
        TraceError: the tables are not there.
    """
    rows = read_table(run, "cells").to_pylist()
    contrasts = read_table(run, "contrasts").to_pylist()
    pairs = sorted(
        {(row["boundary"], row["source"]) for row in rows if row["boundary"]}, key=lambda one: rank(*one)
    )
    chosen = pair or (pairs[0] if pairs else None)
    wanted = [row for row in rows if row["boundary"] is None or (row["boundary"], row["source"]) == chosen]
    wanted = [row for row in wanted if not is_probe(row["load"])]
    shown = {chosen, (None, None)}  # pass@1 has no boundary
    context = read_context(run)[0]
    own = _contrasts(row for row in contrasts if (row["boundary"], row["source"]) in shown)
    order = _order(own)
    return Results(
        pair=chosen,
        pairs=tuple(pairs),
        points=tuple(
            sorted(
                _points(wanted, started_once=context.started_once),
                key=lambda one: order(one.model, one.variant, one.load),
            )
        ),
        contrasts=tuple(sorted(own, key=lambda one: order(one.model, one.variant, one.load))),
        cell_rows=tuple(rows),
        memorised=_memorised(run),
        task_set=TaskSet.of(context),
        graded=_graded(run),
    )


def _graded(run: RunDir) -> dict[tuple[str, str, str], int]:
    rows = (row for row in read_table(run, "accuracy").to_pylist() if row["graded"] and row["samples"])
    return dict(Counter((row["model"], row["variant"], row["load"]) for row in rows))


def _order(contrasts: Iterable[Contrast]) -> Callable[[str, str, str], tuple[Any, ...]]:
    """Sorts the baseline before other variants, and single-stream before other loads, these by the numbers in them."""
    contrasts = tuple(contrasts)
    baselines = {one.reference_variant for one in contrasts if one.kind == "variant_vs_baseline"}
    singles = {one.reference_load for one in contrasts if one.kind == "batched_vs_single"}
    return lambda model, variant, load: (
        model,
        variant not in baselines,
        variant,
        load not in singles,
        *_naturally(load),
    )


def _naturally(name: str) -> tuple[Any, ...]:
    """Sorts numbers in names by size: ``closed-4`` before ``closed-16``."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def _memorised(run: RunDir) -> frozenset[str]:
    """Models that say so in any ``cell.json`` that reads."""
    found: set[str] = set()
    for key in run.finished_cells():
        if key.model in found:
            continue
        try:
            record = read_cell(run.cell(key))
        except TraceError:  # tables/cells has it as trace_damaged
            continue
        if record.served.memorised:
            found.add(key.model)
    return frozenset(found)


def _points(rows: list[dict[str, Any]], started_once: Callable[[str], bool]) -> list[Point]:
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((row["model"], row["variant"], row["load"]), []).append(row)
    points = []
    for (model, variant, load), own in sorted(grouped.items()):
        values: dict[str, list[float]] = {}
        bounds: dict[str, list[Bounds | None]] = {}
        reasons: dict[str, set[str]] = {}
        for row in own:
            if row["valid"] and row["value"] is not None:
                values.setdefault(row["metric"], []).append(row["value"])
                bounds.setdefault(row["metric"], []).append(_bounds(row))
            if row["reasons"]:
                reasons.setdefault(row["metric"], set()).update(row["reasons"])
        points.append(
            Point(
                model=model,
                variant=variant,
                load=load,
                blocks=len({row["block"] for row in own}),
                values={metric: tuple(known) for metric, known in values.items()},
                reasons={metric: tuple(sorted(why)) for metric, why in reasons.items()},
                bounds={metric: tuple(known) for metric, known in bounds.items()},
                one_engine_start=started_once(variant),
            )
        )
    return points


def _bounds(row: Mapping[str, Any]) -> Bounds | None:
    """The interval of one block's measurement, where it has one."""
    if row["interval_kind"] != "measurement" or row["lo"] is None or row["hi"] is None:
        return None
    return row["lo"], row["hi"]


def _contrasts(rows: Iterable[dict[str, Any]]) -> list[Contrast]:
    names = ("model", "contrast", "variant", "reference_variant", "load", "reference_load")
    grouped: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[name] for name in names), {})[row["metric"]] = row
    return [
        Contrast(model, kind, variant, reference_variant, load, reference_load, metrics)
        for (model, kind, variant, reference_variant, load, reference_load), metrics in sorted(
            grouped.items()
        )
    ]
