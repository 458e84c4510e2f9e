"""The derived tables as figures to show: points, and their comparisons, by one meter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from analysis.cells.context import TaskSet
from analysis.cells.rows import Row
from analysis.keys import Condition, MeterKey
from analysis.opened import OpenedRun
from analysis.points import Bounds, Point, naturally, points_of
from configs.loads import is_probe
from traces.layout import CellKey, board_of

__all__ = ["Bounds", "Contrast", "Point", "Results", "read_results"]


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
        """Return the metric's value, or None."""
        row = self.metrics.get(metric)
        return None if row is None else row["value"]

    def why(self, *metrics: str) -> str:
        """List all reasons that stand at these metrics, in one line."""
        return ", ".join(
            sorted({code for name in metrics for code in self.metrics.get(name, {}).get("reasons", ())})
        )


_Sided = TypeVar("_Sided", Point, Contrast)


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

    @property
    def joules_words(self) -> str:
        """Name joules per request, and say where they are an estimate."""
        return "estimated J/request" if self.estimated else "J/request"

    def points_of(self, model: str) -> list[Point]:
        """List the points of a model."""
        return [point for point in self.points if point.model == model]

    def of_tasks(self, point: Point) -> str:
        """Say of how many tasks of how many the pass@1 of a point is; a dash where it has none."""
        tasks = self.graded.get(point.condition)
        return "–" if tasks is None else self.task_set.count(tasks)

    @property
    def tasks_words(self) -> str:
        """Say of which tasks any pass@1 of the run is, the smallest number of them."""
        return self.task_set.words(min(self.graded.values())) if self.graded else ""

    @cached_property
    def damaged(self) -> frozenset[CellKey]:
        """Return cells of which nothing is to be believed."""
        return frozenset(
            CellKey(row["model"], row["variant"], row["load"], row["block"])
            for row in self.cell_rows
            if "trace_damaged" in row["reasons"]
        )

    def of(self, model: str, *kinds: str) -> list[Contrast]:
        """List the contrasts of a model, kind by kind."""
        return [
            contrast
            for kind in kinds
            for contrast in self.contrasts
            if (contrast.model, contrast.kind) == (model, kind)
        ]

    def at_reference(self, sided: Iterable[_Sided]) -> list[_Sided]:
        """Leave out what was measured on boards set otherwise than the study's reference; all where none was set."""
        return [contrast for contrast in sided if board_of(contrast.load) in (None, self.reference_board)]

    @property
    def reference_board(self) -> str | None:
        """Name the setting of the boards that the others are compared with; None where they were left alone."""
        compared = (
            board_of(contrast.reference_load)
            for contrast in self.contrasts
            if contrast.kind == "board_vs_reference"
        )
        return next(compared, None) or next(
            (board for point in self.points if (board := board_of(point.load))), None
        )

    def point(self, side: Condition) -> Point | None:
        """Return the point of a condition, or None."""
        return next((point for point in self.points if point.condition == side), None)

    def by_block(self, side: Condition, name: str, meter: MeterKey | None) -> dict[int, float]:
        """Return the valid values of a metric by block; ``meter`` is None for metrics that have no boundary."""
        return self._valid.get((side, name, meter), {})

    @cached_property
    def _valid(self) -> Mapping[tuple[Condition, str, MeterKey | None], dict[int, float]]:
        means: dict[tuple[Condition, str, MeterKey | None], dict[int, float]] = {}
        for row in self.cell_rows:
            if row["valid"] and row["value"] is not None:
                place = Condition.of(row), row["metric"], MeterKey.of(row)
                means.setdefault(place, {})[row["block"]] = row["value"]
        return means


def read_results(
    run: OpenedRun, meter: MeterKey | None = None, metrics: Collection[str] | None = None
) -> Results:
    """Say what a run's tables hold; joules are those of ``meter``, by default the first by rank.

    ``metrics``: of cells, where not all are wanted.

    Raises:
        TraceError: the tables are missing.
    """
    chosen = meter or next(iter(run.meters), None)
    rows = run.cells_of(metrics)
    probes = {load for load in {row["load"] for row in rows} if is_probe(load)}
    meters = {(None, None), chosen}
    shown = [row for row in rows if (row["boundary"], row["source"]) in meters and row["load"] not in probes]
    contrasts = _contrasts(row for row in run.rows("contrasts") if MeterKey.of(row) in (None, chosen))
    order = _order(contrasts)
    return Results(
        pair=chosen,
        pairs=run.meters,
        points=tuple(sorted(points_of(shown, run.context.started_once, run.context.start_of), key=order)),
        contrasts=tuple(sorted(contrasts, key=order)),
        cell_rows=tuple(rows),
        memorised=run.memorised if metrics is None else run.memorised_by_tables,
        task_set=run.task_set,
        graded={side: len(tasks) for side, tasks in run.passed.items()},
    )


def _order(contrasts: Sequence[Contrast]) -> Callable[[Point | Contrast], tuple[Any, ...]]:
    """Sorts the baseline before other variants, and single-stream before other loads, these by the numbers in them."""
    baselines = {
        contrast.reference_variant for contrast in contrasts if contrast.kind == "variant_vs_baseline"
    }
    singles = {contrast.reference_load for contrast in contrasts if contrast.kind == "batched_vs_single"}
    return lambda contrast: (
        contrast.model, contrast.variant not in baselines, contrast.variant, contrast.load not in singles,
        *naturally(contrast.load),
    )  # fmt: skip


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
