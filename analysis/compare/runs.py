"""Runs beside each other: aligned by model, variant and load, with intervals, and what differs in how they were made.

The first run is the reference. Where two runs were asked the same (seed, loads, prompts), block k of one met the
requests and arrivals of block k of the other, so ratios are paired by block; elsewhere intervals are Welch's. pass@1 is
compared task by task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.accuracy.score_interval import score_interval
from analysis.compare.asked import asked_otherwise, tasks_between
from analysis.compare.gains import GainsBeside, gains_beside
from analysis.contrasts.starts import StartOf, by_start, pairs_by_start
from analysis.contrasts.statistics import RatioEstimate, no_ratio, paired_ratio, unpaired_ratio
from analysis.keys import Condition, MeterKey
from analysis.metrics import metric
from analysis.opened import OpenedRun, open_run
from analysis.results.points import Point, Results, read_results
from configs.differences import Change, changes
from starwatt_errors import UsageError
from traces.layout import RunDir

RATIOS = (
    "j_per_request", "j_per_output_token", "power_mean_w", "request_rate", "output_token_rate",
    "ttft_p50_ms", "tpot_p50_ms", "e2e_p50_ms", "rate_found", "j_per_request_in_slo",
)  # fmt: skip
"""What is compared as a ratio."""
PASSED = "pass_at_1_plus"
REASONS = {
    "no_common_boundary": "The runs have no power boundary and source in common, and joules of different ones are "
    "never compared.",
    "different_tasks": "The runs asked different tasks, or graded them by different data.",
    "no_common_task": "No task was graded in both runs.",
    "asked_differently": "The runs were asked other things, or measured on other boards, so a gate can say nothing.",
    "not_in_both": "The condition was measured in the reference alone, so a gate can say nothing of it.",
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

    @property
    def condition(self) -> Condition:
        """Name what it is of."""
        return Condition(self.model, self.variant, self.load)


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
    asked: tuple[Change, ...] = ()  # what differs in prompts, lengths, tasks and boards: no headline then
    other_tasks: str = ""  # where they were asked of the same data, and answered other tasks of it: in words


@dataclass(frozen=True)
class Comparison:
    """All of it; ``pair`` is the boundary and source of all joules, None where the runs share none."""

    names: tuple[str, ...]  # of the runs, the reference first
    pair: MeterKey | None
    estimated: bool
    differences: tuple[Difference, ...]
    others: tuple[Beside, ...]
    results: tuple[Results, ...] = field(repr=False)

    @property
    def no_joules(self) -> str:
        """Say why no joules are compared; empty where they are."""
        if self.pair is not None:
            return ""
        names = [name for name, results in zip(self.names, self.results, strict=True) if not results.pairs]
        has = "have" if len(names) > 1 else "has"
        return f"{' and '.join(names)} {has} none" if names else REASONS["no_common_boundary"].rstrip(".")

    def of(self, metric: str) -> tuple[Difference, ...]:
        """Return the differences in one metric."""
        return tuple(difference for difference in self.differences if difference.metric == metric)


class _Run:
    """A run that is compared, by the meter that all have in common."""

    def __init__(self, name: str, opened: OpenedRun, meter: MeterKey | None) -> None:
        self.name = name
        self.opened = opened
        self.context = opened.context
        self.results = read_results(opened, meter)
        self.study = {} if self.context.study is None else self.context.study.model_dump(mode="json")

    @property
    def asked(self) -> dict[str, Any]:
        """Say what decides which requests a block meets, and when; empty where it is not known."""
        asked = {field: self.study[field] for field in _SCHEDULE if self.study}
        if asked:  # the digest is the same, wherever a file of own prompts lay
            asked["prompts"] = {**asked["prompts"], "dataset": self.opened.dataset.get("sha256")}
        return asked


def compare(runs: Sequence[RunDir]) -> Comparison:
    """Set every run against the first; runs that were not analysed are.

    Raises:
        UsageError: fewer than two runs, or one twice.
        TraceError: a run has no cell, or its tables cannot be read.
    """
    if len(runs) < 2 or len({run.root.resolve() for run in runs}) < len(runs):
        raise UsageError("compare takes two or more different run directories, the reference first")
    opened = [open_run(run) for run in runs]
    shared = set.intersection(*(set(run.meters) for run in opened))
    meter = next((candidate for candidate in opened[0].meters if candidate in shared), None)
    names = names_of([run.root for run in runs])
    reference, *others = [_Run(*named, meter) for named in zip(names, opened, strict=True)]
    differences, beside = [], []
    for run in others:
        paired = bool(run.asked) and run.asked == reference.asked
        run_differences = list(_differences(reference, run, meter, paired=paired))
        differences += run_differences
        beside.append(_beside(reference, run, run_differences, meter, paired=paired))
    results = (reference.results, *(run.results for run in others))
    return Comparison(names, meter, reference.results.estimated, tuple(differences), tuple(beside), results)


def names_of(folders: Sequence[Path]) -> tuple[str, ...]:
    """Name runs by as few trailing parts of their paths as tell them apart."""
    resolved = [folder.resolve() for folder in folders]
    for parts in range(1, max(len(folder.parts) for folder in resolved) + 1):
        names = ["/".join(folder.parts[-parts:]) for folder in resolved]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(map(str, resolved))


def _differences(reference: _Run, run: _Run, meter: MeterKey | None, *, paired: bool) -> Iterator[Difference]:
    """Ratios of every metric that both runs have for a condition, and its pass@1."""
    same_tasks = reference.opened.dataset.get("sha256") == run.opened.dataset.get("sha256")
    for theirs in reference.results.points:
        mine = run.results.point(theirs.condition)
        if mine is None:
            continue
        once = any(side.context.started_once(theirs.variant) for side in (reference, run))
        estimates = {
            name: _estimate(reference, run, theirs, mine, name, meter, paired=paired) for name in RATIOS
        }
        if not any(estimates.values()):  # nothing completed: it is said, and not left out
            why = sorted({*theirs.why(theirs.reasons), *mine.why(mine.reasons)})
            estimates["j_per_request"] = no_ratio(*why or ("no_valid_block",))
        for name, estimate in estimates.items():
            if estimate is not None:
                shown = without_interval(estimate) if once else estimate
                yield Difference(run.name, *theirs.condition, name, theirs.mean(name), mine.mean(name), shown)
        ours, originals = (side.opened.passed.get(theirs.condition) for side in (run, reference))
        if ours is not None and originals is not None:
            before, after = (float(np.mean(list(shares.values()))) for shares in (originals, ours))
            estimate = _passed(ours, originals, same_tasks=same_tasks)
            yield Difference(run.name, *theirs.condition, PASSED, before, after, estimate)


def without_interval(estimate: RatioEstimate) -> RatioEstimate:
    """Drop its interval: all blocks of one engine start are one sample of what an engine start is like."""
    reasons = tuple(sorted({*estimate.reasons, "one_engine_start"}))
    return RatioEstimate(estimate.ratio, None, None, estimate.blocks, reasons)


def _estimate(
    reference: _Run, run: _Run, theirs: Point, mine: Point, name: str, meter: MeterKey | None, *, paired: bool
) -> RatioEstimate | None:
    """Compare one metric of a condition that both have; None where neither has it, and nothing says why."""
    each_boundary = metric(name).each_boundary
    if each_boundary and meter is None:
        return _without_meter(reference, run, theirs, mine)
    why = sorted({*theirs.why([name]), *mine.why([name])})
    of = meter if each_boundary else None
    values, references = (side.results.by_block(theirs.condition, name, of) for side in (run, reference))
    if values and references:
        starts = [side.context.counted_by(theirs.variant) for side in (run, reference)]
        alike = all(starts[0](block) == starts[1](block) for block in {*values, *references})
        return _ratio(values, references, starts, paired=paired and alike)
    return no_ratio(*why or ("no_valid_block",)) if values or references or why else None


def _without_meter(reference: _Run, run: _Run, theirs: Point, mine: Point) -> RatioEstimate:
    """Say why no joules are compared: one run has none, and why, or they were measured at different boundaries.

    Why a cell has none stands at its J/request, whichever figure of them is asked for.
    """
    unmetered = not (reference.results.pairs and run.results.pairs)
    why = sorted({*theirs.why(["j_per_request"]), *mine.why(["j_per_request"])})
    return no_ratio(*(why if unmetered and why else ("no_common_boundary",)))


def _ratio(
    values: Mapping[int, float], references: Mapping[int, float], starts: Sequence[StartOf], *, paired: bool
) -> RatioEstimate:
    """Compare values by block, or by engine start where several blocks share one.

    Paired where the blocks of both runs met the same requests, on as many starts.
    """
    if min(*values.values(), *references.values()) <= 0:
        return no_ratio("not_positive")
    if paired and values.keys() & references.keys():
        return paired_ratio(*pairs_by_start(values, references, starts[0]))
    values, references = by_start(values, starts[0]), by_start(references, starts[1])
    return unpaired_ratio(list(values.values()), list(references.values()))


def _passed(ours: Mapping[str, float], theirs: Mapping[str, float], *, same_tasks: bool) -> RatioEstimate:
    """Return the mean difference of pass@1 over the tasks of both, with its score interval; ``blocks`` counts tasks."""
    tasks = sorted(set(ours) & set(theirs))
    if not same_tasks or not tasks:
        return no_ratio("no_common_task" if same_tasks else "different_tasks")
    differences = np.array([ours[task] - theirs[task] for task in tasks])
    return RatioEstimate(float(differences.mean()), *score_interval(differences, -1.0, 1.0), len(tasks), ())


def _beside(
    reference: _Run, run: _Run, differences: Sequence[Difference], meter: MeterKey | None, *, paired: bool
) -> Beside:
    sides = [[point.condition for point in side.results.points] for side in (reference, run)]
    machine = changes(dict(reference.context.manifest), dict(run.context.manifest))
    of_passed = (difference.estimate for difference in differences if difference.metric == PASSED)
    tasks = [estimate.blocks for estimate in of_passed if estimate.blocks]
    gains = gains_beside((reference.context, run.context), (reference.results, run.results), meter)
    asked = asked_otherwise(reference.opened, run.opened, gains, meter)
    return Beside(
        run.name,
        paired=paired,
        missing=tuple(side for side in sides[0] if side not in sides[1]),
        added=tuple(side for side in sides[1] if side not in sides[0]),
        study=_study_changes(reference, run),
        machine=tuple(change for change in machine if not _says_nothing(change)),
        tasks=run.results.task_set.words(min(tasks)) if tasks else "",
        gains=gains,
        asked=asked,
        other_tasks=_other_tasks(reference, run, asked),
    )


def _study_changes(reference: _Run, run: _Run) -> tuple[Change, ...]:
    """List what differs between two studies; nothing where one of them is not known."""
    return tuple(changes(reference.study, run.study)) if reference.study and run.study else ()


def _other_tasks(reference: _Run, run: _Run, asked: Sequence[Change]) -> str:
    """Say where they answered other tasks, unless they were asked otherwise, which is said."""
    if any(change.field.startswith("prompts") for change in asked):
        return ""
    return tasks_between((reference.name, run.name), reference.opened, run.opened)


def _says_nothing(change: Change) -> bool:
    if change.field == "repeats" or change.field.rpartition(".")[2] in _ALWAYS:
        return True
    if change.field == "sessions":  # two runners say nothing; one that found another driver does
        sessions = [*(change.first or ()), *(change.second or ())]
        return not any(session.get("changed") for session in sessions)
    first, second = change.first, change.second
    if not isinstance(first, float) or not isinstance(second, float):
        return False
    # a power limit is set, and 3 % of it is a difference
    return change.field.startswith(_MEASURED) and abs(first - second) <= _CLOSE * max(abs(first), abs(second))
