"""A run in one small table: a row a variant and load, and of each metric the columns of a figure beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.accuracy.score_interval import score_interval
from analysis.cells.context import Context
from analysis.cells.rows import Row
from analysis.contrasts.statistics import geometric_mean
from analysis.keys import Condition, MeterKey
from analysis.points import Bounds, Point, meters_in, naturally, passed_in, points_of
from configs.loads import is_probe
from traces.layout import board_of

METRICS = (
    "j_per_request", "j_per_request_net", "j_per_output_token", "wh_per_1000_requests", "power_mean_w",
    "request_rate", "output_token_rate", "tokens_per_request",
    "ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "e2e_p50_ms", "e2e_p99_ms", "pass_at_1_plus",
)  # fmt: skip
"""Those of ``tables/summary.csv``, of analysis/metrics.py."""
OF_A_SEARCH = ("rate_found", "j_per_request_in_slo")
"""Those that are added where a load looks for its rate."""
SUMMARISED = frozenset({*METRICS, *OF_A_SEARCH, "window_s", "j_per_request"})
"""Rows that it needs: where a metric has none, the cell's window or its joules say why."""
KEYS = ("model", "variant", "load", "board", "blocks", "boundary", "source")
PARTS = ("", "_lo", "_hi", "_interval", "_valid", "_reasons")
"""What is added to a metric's name for the columns of its value, interval, validity and reasons."""
_TESTS = {"pass_at_1_base": "base", "pass_at_1_plus": "plus"}
_KINDS = {"blocks": pa.int32()}
_PART_KINDS = {"": pa.float64(), "_lo": pa.float64(), "_hi": pa.float64(), "_valid": pa.bool_()}


@dataclass(frozen=True)
class Interval:
    """The interval of a mean over blocks, or why it has none."""

    bounds: Bounds | None = None
    kind: str | None = None  # blocks, measurement or search (of a single block), tasks
    reasons: tuple[str, ...] = ()


def summary_table(
    cells: Sequence[Row],
    accuracy: Sequence[Row],
    context: Context,
    meter: MeterKey | None = None,
    metrics: Sequence[str] | None = None,
) -> pa.Table:
    """Sum a run up: model, variant, load, blocks, meter, and for each metric ``PARTS``; the baseline comes first.

    A value is the mean over the blocks in which it is valid, null where there is none; ``_reasons``, joined by spaces,
    say why blocks or the interval are missing. ``_interval`` says what the interval is of: ``blocks`` (Student's t,
    from three blocks on), ``measurement`` (of a single block: its sensor alone) or ``search`` (how far it is found),
    ``tasks`` (of pass@1).

    Args:
        cells: rows of ``tables/cells``.
        accuracy: rows of ``tables/accuracy``.
        context: the run's study, which names baseline and loads.
        meter: whose joules; None: the first by rank.
        metrics: names of analysis/metrics.py; None: those of ``tables/summary.csv``.
    """
    if metrics is None:
        searched = OF_A_SEARCH if any(row["metric"] == "rate_found" for row in cells) else ()
        metrics = (*METRICS, *searched)
    chosen = meter or next(iter(meters_in(cells)), None)
    shown = [row for row in cells if MeterKey.of(row) in (None, chosen) and not is_probe(row["load"])]
    passed = {metric: passed_in(accuracy, tests) for metric, tests in _TESTS.items()}
    points = sorted(
        points_of(shown, context.started_once, context.start_of), key=lambda point: _order(point, context)
    )
    rows = [_row(point, chosen, passed, metrics) for point in points]
    return pa.Table.from_pylist(rows, schema=_schema(metrics))


def _schema(metrics: Sequence[str]) -> pa.Schema:
    keys = [(name, _KINDS.get(name, pa.string())) for name in KEYS]
    return pa.schema(
        keys + [(f"{name}{part}", _PART_KINDS.get(part, pa.string())) for name in metrics for part in PARTS]
    )


def _order(point: Point, context: Context) -> tuple[Any, ...]:
    """Return the baseline before other variants, and single-stream before other loads, these by the numbers in them."""
    return (
        point.model, point.variant != context.baseline, point.variant,
        context.kind(point.load) != "single_stream", *naturally(point.load),
    )  # fmt: skip


def _row(
    point: Point,
    meter: MeterKey | None,
    passed: Mapping[str, Mapping[Condition, Mapping[str, float]]],
    metrics: Iterable[str],
) -> Row:
    board = board_of(point.load)
    row: Row = {
        **point.condition._asdict(),
        "board": board,
        "blocks": point.blocks,
        **MeterKey.columns(meter),
    }
    for metric in metrics:
        value, tasks = point.mean(metric), passed.get(metric, {}).get(point.condition)
        interval = Interval() if value is None else _of_tasks(tasks) if tasks else _of_blocks(point, metric)
        lo, hi = interval.bounds or (None, None)
        why = {*point.why([metric]), *interval.reasons}
        if value is None and not why:  # the cell as a whole, or its power, says why
            why = {*(point.why(("window_s", "j_per_request")) or ("not_available",))}
        parts = value, lo, hi, interval.kind, value is not None, " ".join(sorted(why))
        row |= {f"{metric}{part}": given for part, given in zip(PARTS, parts, strict=True)}
    return row


def _of_tasks(shares: Mapping[str, float]) -> Interval:
    return Interval(score_interval(np.array(list(shares.values())), 0.0, 1.0), "tasks")


def _of_blocks(point: Point, metric: str) -> Interval:
    """Return the interval by how blocks scatter; of a single one what its own measurement leaves open."""
    known = point.values[metric]
    if len(known) == 1 and point.bounds[metric][0] is not None:
        return Interval(point.bounds[metric][0], "search" if metric == "rate_found" else "measurement")
    if point.one_engine_start:
        return Interval(reasons=("one_engine_start",))
    if min(known) <= 0:
        return Interval(reasons=("not_positive",))
    estimate = geometric_mean(point.by_start(metric))
    return Interval(estimate.bounds, "blocks" if estimate.bounds else None, estimate.reasons)
