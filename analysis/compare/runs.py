"""Runs beside each other: aligned by model, variant and load, with intervals, and what differs in how they were made.

The first run is the reference. Where two runs were asked the same (seed, loads, prompts), block k of one met the
requests and arrivals of block k of the other, so ratios are paired by block; elsewhere intervals are Welch's. pass@1 is
compared task by task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.accuracy.score_interval import score_interval
from analysis.cells.cell import Context, read_context
from analysis.cells.task_set import TaskSet
from analysis.compare.gains import GainsBeside, gains_beside
from analysis.contrasts.statistics import RatioEstimate, paired_ratio, unpaired_ratio
from analysis.energy.boundary import rank
from analysis.keys import Condition
from analysis.metrics import metric as metric_of
from analysis.results.points import Pair, Point, Results, read_results
from analysis.tables import ensure_analysed, read_table
from configs.differences import Change, changes
from configs.schema import Study
from starwatt_errors import UsageError
from traces.layout import RunDir

RATIOS = (
    "j_per_request", "j_per_output_token", "power_mean_w", "request_rate", "output_token_rate",
    "ttft_p50_ms", "tpot_p50_ms", "e2e_p50_ms",
)  # fmt: skip
"""What is compared as a ratio."""
PASSED = "pass_at_1_plus"
REASONS = {
    "no_common_boundary": "The runs have no power boundary and source in common, and joules of different ones are "
    "never set against each other.",
    "different_tasks": "The runs asked different tasks, or graded them by different data.",
    "no_common_task": "No task was graded in both runs.",
}
#: What decides which requests a block meets, and when.
_SCHEDULE = ("seed", "loads", "prompts", "measure", "phases")
#: Fields that differ between any two runs and say nothing.
_ALWAYS = ("monotonic_ns", "realtime_ns", "boot_id", "run_id", "read_ms")
_CLOSE = 0.05  # measured properties of the same kind of machine, such as a sensor's period
_MEASURED = ("sensor_calibration.", "host.")


@dataclass(frozen=True)
class Difference:
    """One figure of one run against the reference run's; ``estimate`` is a ratio, or for pass@1 a difference."""

    run: str
    model: str
    variant: str
    load: str
    metric: str
    reference_value: float | None
    value: float | None
    estimate: RatioEstimate


@dataclass(frozen=True)
class Beside:
    """Another run beside the reference: what only one of them has, and what differs in how they were made."""

    name: str
    paired: bool  # asked the same as the reference, so that blocks are pairs
    missing: tuple[Condition, ...]  # measured in the reference alone
    added: tuple[Condition, ...]
    study: tuple[Change, ...]
    machine: tuple[Change, ...]  # manifest.json
    tasks: str  # of which tasks pass@1 is compared; empty: it is not
    gains: GainsBeside | None  # of what was measured; None: no joules are compared, or they are modelled


@dataclass(frozen=True)
class Comparison:
    """All of it; ``pair`` is the boundary and source of all joules, None where the runs share none."""

    names: tuple[str, ...]  # of the runs, the reference first
    pair: Pair | None
    estimated: bool
    differences: tuple[Difference, ...]
    others: tuple[Beside, ...]

    def of(self, metric: str) -> tuple[Difference, ...]:
        """The differences in one metric."""
        return tuple(one for one in self.differences if one.metric == metric)


def compare(runs: Sequence[RunDir]) -> Comparison:
    """Set every run against the first; runs that were not analysed are.

    Raises:
        UsageError: fewer than two runs, or one twice.
        TraceError: a run has no cell, or its tables do not read.
    """
    if len(runs) < 2 or len({run.root.resolve() for run in runs}) < len(runs):
        raise UsageError("compare takes two or more different run directories, the reference first")
    for run in runs:
        ensure_analysed(run)
    names = names_of([run.root for run in runs])
    pair = _common_pair([read_results(run).pairs for run in runs])
    results = [read_results(run, pair) for run in runs]
    contexts = [read_context(run)[0] for run in runs]
    found: list[Difference] = []
    for name, run, other, context in zip(names[1:], runs[1:], results[1:], contexts[1:], strict=True):
        paired = _asked_the_same(runs[0], run)
        figures = _figures(name, results[0], other, common=pair is not None, paired=paired)
        found += [
            replace(one, estimate=without_interval(one.estimate))
            if contexts[0].started_once(one.variant) or context.started_once(one.variant)
            else one
            for one in figures
        ]
        found += _accuracies(name, runs[0], run)
    order = {side: place for place, side in enumerate(map(_side, (p for one in results for p in one.points)))}
    metrics = [*RATIOS, PASSED]
    found.sort(
        key=lambda one: (
            names.index(one.run),
            order[Condition(one.model, one.variant, one.load)],
            metrics.index(one.metric),
        )
    )
    return Comparison(
        names,
        pair,
        results[0].estimated,
        tuple(found),
        tuple(
            replace(
                _beside(name, (runs[0], run), (contexts[0], context), (results[0], other), pair),
                tasks=_tasks(name, found, other.task_set),
            )
            for name, run, other, context in zip(names[1:], runs[1:], results[1:], contexts[1:], strict=True)
        ),
    )


def names_of(folders: Sequence[Path]) -> tuple[str, ...]:
    """As few trailing parts of their paths as tell them apart."""
    resolved = [folder.resolve() for folder in folders]
    for parts in range(1, max(len(one.parts) for one in resolved) + 1):
        names = ["/".join(one.parts[-parts:]) for one in resolved]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(map(str, resolved))


def _common_pair(of_runs: Sequence[Iterable[Pair]]) -> Pair | None:
    common = set.intersection(*map(set, of_runs))
    return min(common, key=lambda one: rank(*one), default=None)


def _side(point: Point) -> Condition:
    return Condition(point.model, point.variant, point.load)


def _asked_the_same(first: RunDir, second: RunDir) -> bool:
    studies = [read_context(run)[0].study for run in (first, second)]
    if any(study is None for study in studies) or _digest(first) != _digest(second):
        return False
    dumped = [_study(study) for study in studies]
    for one in dumped:
        one["prompts"]["dataset"] = None  # the digest is the same, wherever a file of own prompts lay
    return all(dumped[0][field] == dumped[1][field] for field in _SCHEDULE)


def _figures(
    name: str, reference: Results, other: Results, *, common: bool, paired: bool
) -> list[Difference]:
    """Ratios of every metric that both runs have for a side."""
    found = []
    points = {_side(point): point for point in other.points}
    blocks = _by_block(other), _by_block(reference)
    for theirs in reference.points:
        mine = points.get(_side(theirs))
        if mine is None:
            continue
        for metric in RATIOS:
            values, references = (one.get((*_side(theirs), metric), {}) for one in blocks)
            why = sorted({*theirs.why([metric]), *mine.why([metric])})
            if not values and not references and not why:
                continue
            if metric_of(metric).each_boundary and not common:
                why = ["no_common_boundary"]
            estimate = (
                RatioEstimate(None, None, None, 0, tuple(why) or ("no_valid_block",))
                if why == ["no_common_boundary"] or not values or not references
                else _estimate(values, references, paired=paired)
            )
            means = theirs.mean(metric), mine.mean(metric)
            found.append(Difference(name, *_side(theirs), metric, *means, estimate))
    return found


def without_interval(estimate: RatioEstimate) -> RatioEstimate:
    """Without its interval: all blocks of one engine start are one sample of what an engine start is like."""
    reasons = tuple(sorted({*estimate.reasons, "one_engine_start"}))
    return RatioEstimate(estimate.ratio, None, None, estimate.blocks, reasons)


def _by_block(results: Results) -> dict[tuple[str, ...], dict[int, float]]:
    """Valid values by (model, variant, load, metric) and block, of the boundary that is compared."""
    found: dict[tuple[str, ...], dict[int, float]] = {}
    for row in results.cell_rows:
        pair = row["boundary"], row["source"]
        if row["valid"] and row["value"] is not None and pair in (results.pair, (None, None)):
            key = row["model"], row["variant"], row["load"], row["metric"]
            found.setdefault(key, {})[row["block"]] = row["value"]
    return found


def _estimate(values: Mapping[int, float], references: Mapping[int, float], *, paired: bool) -> RatioEstimate:
    if any(value <= 0 for value in (*values.values(), *references.values())):
        return RatioEstimate(None, None, None, 0, ("not_positive",))
    both = sorted(set(values) & set(references))
    if paired and both:
        return paired_ratio([values[block] for block in both], [references[block] for block in both])
    return unpaired_ratio(list(values.values()), list(references.values()))


def _accuracies(name: str, reference: RunDir, other: RunDir) -> list[Difference]:
    """pass@1 of each side in both runs, as a difference over the tasks that were graded in both."""
    first, second = _shares(reference), _shares(other)
    same = _digest(reference) == _digest(other)
    found = []
    for side in first:
        if side not in second:
            continue
        ours, theirs = second[side], first[side]
        tasks = sorted(set(ours) & set(theirs))
        reason = "different_tasks" if not same else "" if tasks else "no_common_task"
        before, after = (float(np.mean(list(one.values()))) for one in (theirs, ours))
        found.append(Difference(name, *side, PASSED, before, after, _difference(ours, theirs, tasks, reason)))
    return found


def _tasks(name: str, found: Sequence[Difference], task_set: TaskSet) -> str:
    counts = [one.estimate.blocks for one in found if (one.run, one.metric) == (name, PASSED)]
    compared = [count for count in counts if count]
    return task_set.words(min(compared)) if compared else ""


def _difference(
    ours: Mapping[str, float], theirs: Mapping[str, float], tasks: Sequence[str], reason: str
) -> RatioEstimate:
    """The mean difference over tasks, with its score interval; ``blocks`` counts tasks."""
    if reason:
        return RatioEstimate(None, None, None, 0, (reason,))
    differences = np.array([ours[task] - theirs[task] for task in tasks])
    return RatioEstimate(float(differences.mean()), *score_interval(differences, -1.0, 1.0), len(tasks), ())


def _shares(run: RunDir) -> dict[Condition, dict[str, float]]:
    """By side and task: the share of samples that passed base and plus, all blocks together; graded ones alone."""
    if not run.table("accuracy").is_file():
        return {}
    counts: dict[Condition, dict[str, tuple[int, int]]] = {}
    for row in read_table(run, "accuracy").to_pylist():
        if row["graded"] and row["samples"]:
            own = counts.setdefault(Condition.of(row), {})
            passed, samples = own.get(row["task_id"], (0, 0))
            own[row["task_id"]] = passed + row["plus_passed"], samples + row["samples"]
    return {
        side: {task: passed / samples for task, (passed, samples) in own.items()}
        for side, own in counts.items()
    }


def _digest(run: RunDir) -> str | None:
    dataset = read_context(run)[0].manifest.get("dataset")
    return dataset.get("sha256") if isinstance(dataset, dict) else None


def _beside(
    name: str,
    runs: tuple[RunDir, RunDir],
    contexts: tuple[Context, Context],
    results: tuple[Results, Results],
    pair: Pair | None,
) -> Beside:
    sides = [list(dict.fromkeys(map(_side, one.points))) for one in results]
    studies = [_study(one.study) for one in contexts]
    machine = changes(dict(contexts[0].manifest), dict(contexts[1].manifest))
    return Beside(
        name,
        paired=_asked_the_same(*runs),
        missing=tuple(side for side in sides[0] if side not in sides[1]),
        added=tuple(side for side in sides[1] if side not in sides[0]),
        study=tuple(changes(studies[0], studies[1])),
        machine=tuple(one for one in machine if not _says_nothing(one)),
        tasks="",
        gains=gains_beside(contexts, results, pair),
    )


def _study(study: Study | None) -> dict[str, Any]:
    return {} if study is None else study.model_dump(mode="json")


def _says_nothing(change: Change) -> bool:
    if change.field.rpartition(".")[2] in _ALWAYS:
        return True
    if change.field == "repeats":
        return True
    if change.field == "sessions":  # two runners say nothing; one that found another driver does
        sessions = [*(change.first or ()), *(change.second or ())]
        return not any(session.get("changed") for session in sessions)
    first, second = change.first, change.second
    if not isinstance(first, float) or not isinstance(second, float):
        return False
    if not change.field.startswith(_MEASURED):  # a power limit is set, and 3 % of it is a difference
        return False
    return abs(first - second) <= _CLOSE * max(abs(first), abs(second))
