"""A run beside arXiv 2411.12758: the same variant, one request at a time, by the paper's boundaries.

Two boundaries are the paper's: the GPU alone, and its total (GPU + CPU packages + 45 W). J/request of both sides stands
by each; machines and engines differ, so that the ratio of the two is no fault of either. What compression costs on each
side (variant over original) is what can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.cells.context import Context
from analysis.cells.paper_total import RAM_W
from analysis.compare.paper import Configuration, read_runs
from analysis.compare.paper_match import answers, configuration_of
from analysis.compare.runs import names_of, without_interval
from analysis.contrasts.starts import by_start, pairs_by_start
from analysis.contrasts.statistics import RatioEstimate, effect_ratio, no_ratio, paired_ratio, unpaired_ratio
from analysis.keys import Condition, MeterKey
from analysis.opened import open_run
from analysis.results.points import Results, read_results
from starwatt_errors import UsageError
from traces.layout import RunDir

NAME = "arXiv 2411.12758"
REQUESTS = 164  # of each of its runs
_J_PER_WH = 3600.0


@dataclass(frozen=True)
class View:
    """One boundary that both sides have: a column of the paper's, a metric of ours."""

    name: str
    column: int  # of the paper's runs
    metric: str
    boundary: str | None
    source: str | None
    words: str


VIEWS = (
    View(
        "GPU", 0, "j_per_request", "gpu", "nvml",
        "The board alone, on both sides by NVML. The paper's GPU figures leave out everything else, as ours do.",
    ),
    View(
        "total", 3, "paper_total_j_per_request", None, None,
        "What CodeCarbon counted: the GPU, the CPU packages of a whole node that others used too (a quarter of it was "
        f"the paper's), and a constant {RAM_W:.0f} W for memory. Here: the GPU, all CPU packages by RAPL, and the same "
        "constant. It grows with time whatever the GPU does, so a slower format costs more by it.",
    ),
)  # fmt: skip
REASONS = {
    "no_common_boundary": "The run has no such boundary; joules of different ones are never compared.",
    "is_original": "It is the original itself, that others are compared with.",
    "no_original": "The study's baseline is compressed itself: what compression costs is not in it.",
}


@dataclass(frozen=True)
class PaperRow:
    """One variant by one boundary: J/request of both sides, what compression does on each, and the ratio of that."""

    model: str
    variant: str
    load: str
    view: str
    configuration: Configuration
    differs: tuple[str, ...]  # in what was run, in words
    blocks: int
    runs: int
    ours_j: float | None  # geometric means
    paper_j: float
    absolute: RatioEstimate  # ours over the paper's
    our_effect: RatioEstimate  # variant over the study's baseline
    paper_effect: RatioEstimate  # variant over the original
    effects: RatioEstimate  # our effect over the paper's


@dataclass(frozen=True)
class PaperComparison:
    """A run beside the paper; ``unmatched`` are what of it the paper has nothing of, with why."""

    name: str
    baseline: str | None
    rows: tuple[PaperRow, ...]
    unmatched: tuple[tuple[str, str], ...]
    differs: tuple[str, ...]  # in every row


@dataclass(frozen=True)
class _Both:
    """A run and the paper's."""

    results: Results
    context: Context
    paper: Mapping[Configuration, np.ndarray]

    def baseline(self, model: str) -> str | None:
        """Return the study's baseline, where that is the model as it was."""
        name = self.context.baseline
        matched = None if name is None else configuration_of(model, name, self._tokens, self.paper)
        if matched is None or isinstance(matched, str) or matched[0] != matched[0].original:
            return None
        return name

    @property
    def _tokens(self) -> int:
        return answers(self.context, self.paper)[0]

    def joules(self, configuration: Configuration, view: View) -> list[float]:
        """Return J/request of the paper's runs."""
        joules: list[float] = (self.paper[configuration][:, view.column] * _J_PER_WH / REQUESTS).tolist()
        return joules


def beside_paper(run: RunDir) -> PaperComparison:
    """Set a run beside the paper's; it is analysed first where it was not.

    Raises:
        UsageError: the paper has nothing of this run.
        TraceError: the run has no cell, or its tables cannot be read.
    """
    opened, paper = open_run(run), read_runs()
    results, context = read_results(opened), opened.context
    tokens, said = answers(context, paper)
    rows: list[PaperRow] = []
    unmatched: dict[str, str] = {}
    for point in results.points:
        side = f"{point.model} · {point.variant} · {point.load}"
        matched = configuration_of(point.model, point.variant, tokens, paper)
        if isinstance(matched, str):
            unmatched[side] = matched
        elif context.concurrency(point.load) != 1:
            unmatched[side] = "the paper measured one request at a time"
        else:
            configuration, differs = matched
            condition = point.condition
            rows += [
                _row(_Both(results, context, paper), condition, view, configuration, differs)
                for view in VIEWS
            ]
    (name,) = names_of([run.root])
    if not rows:
        models = ", ".join(sorted({configuration.model for configuration in paper}))
        raise UsageError(
            f"nothing of {name} is in the paper, which measured {models} "
            "one request at a time, in float32, as LLM.int8, as FP4, and without their last layers:\n"
            + "\n".join(f"  {side}: {why}" for side, why in unmatched.items())
        )
    return PaperComparison(name, context.baseline, tuple(rows), tuple(unmatched.items()), (*said, *_ALWAYS))


_ALWAYS = (
    "the paper ran on an A100-SXM4-40GB, in its CPU boundary a whole shared node",
    "the paper's prompts kept their trailing white space, and its answers had no stop strings",
)


def _row(
    both: _Both, side: Condition, view: View, configuration: Configuration, differs: tuple[str, ...]
) -> PaperRow:
    baseline = both.baseline(side.model)
    ours = _by_block(both.results, side, view)
    base = {} if baseline is None else _by_block(both.results, side._replace(variant=baseline), view)
    start_of = both.context.counted_by(side.variant)
    mine = pairs_by_start(ours, base, start_of)
    count, ours = len(ours), by_start(ours, start_of)
    theirs, originals = both.joules(configuration, view), both.joules(configuration.original, view)
    absolute = unpaired_ratio(list(ours.values()), theirs)
    our_effect, effects = paired_ratio(*mine), effect_ratio(*mine, theirs, originals)
    if both.context.started_once(side.variant, baseline or side.variant):
        absolute, our_effect, effects = map(without_interval, (absolute, our_effect, effects))
    if not ours:
        absolute = our_effect = effects = no_ratio("no_common_boundary")
    elif baseline is None or side.variant == baseline:
        our_effect = effects = no_ratio("no_original" if baseline is None else "is_original")
    paper_effect = unpaired_ratio(theirs, originals)
    if configuration == configuration.original:
        paper_effect = effects = no_ratio("is_original")
    return PaperRow(
        *side,
        view.name,
        configuration,
        differs,
        count,
        len(theirs),
        _geometric(list(ours.values())),
        _geometric(theirs) or 0.0,
        absolute,
        our_effect,
        paper_effect,
        effects,
    )


def _by_block(results: Results, side: Condition, view: View) -> dict[int, float]:
    """Valid values of ours by block."""
    meter = None if view.boundary is None or view.source is None else MeterKey(view.boundary, view.source)
    return {block: value for block, value in results.by_block(side, view.metric, meter).items() if value > 0}


def _geometric(values: Sequence[float]) -> float | None:
    return float(np.exp(np.mean(np.log(values)))) if values else None
