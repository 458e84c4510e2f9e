"""pass@1 of variants and loads against each other, task by task, and how many answers changed at all.

Tests are over tasks, not over blocks: a task is what is solved or not, and greedy answers to it repeat. Sources:
sign flips, Fisher (1935); McNemar (1947), exact by the binomial; Holm (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.special import bdtr

from analysis.accuracy.completions import Answers, flips
from analysis.accuracy.score_interval import score_interval
from analysis.arrays import Floats
from analysis.cells.context import Context
from analysis.cells.rows import Row
from analysis.contrasts.paired_blocks import key_of, value_row
from analysis.contrasts.ratios import single_stream_of
from analysis.contrasts.statistics import POWER, holm
from analysis.keys import Condition

EXACT_UP_TO = 16  # tasks that differ: all sign patterns, else so many random ones
DRAWS = 20_000
FEWEST = 6  # tasks that must change, all one way, for an exact p below 5 %
Z_95_80 = 1.959964 + 0.841621
P = "pass_at_1_plus_difference_p"
assert POWER == 0.8  # noqa: S101 -- Z_95_80 is for this power


def accuracy_contrast_rows(cells: Sequence[Answers], context: Context) -> list[Row]:
    """Return ``accuracy_vs_baseline`` and ``accuracy_vs_single``; Holm over each of these families."""
    sides: dict[Condition, list[Answers]] = {}
    for cell in cells:
        sides.setdefault(Condition(cell.key.model, cell.key.variant, cell.key.load), []).append(cell)
    families: dict[str, list[Row]] = {"accuracy_vs_baseline": [], "accuracy_vs_single": []}
    for side, answers in sorted(sides.items()):
        references = {
            "accuracy_vs_baseline": side._replace(variant=context.baseline or side.variant),
            "accuracy_vs_single": single_stream_of(side, sides, context),
        }
        for contrast, reference in references.items():
            if reference is None or reference == side or reference not in sides:
                continue
            key = key_of(contrast, side, reference, None)
            families[contrast] += _compared(key, answers, sides[reference])
            if contrast == "accuracy_vs_single":
                families[contrast] += _flip_rows(key, answers, sides[reference])
    return [row for rows in families.values() for row in _with_holm(rows)]


def sign_flip_p(differences: Floats) -> float:
    """Compute p, two-sided: how often signs drawn at random give a mean as far from 0. Exact where few tasks differ."""
    changed = differences[differences != 0]
    if not changed.size:
        return 1.0
    if changed.size <= EXACT_UP_TO:
        patterns = np.arange(2**changed.size)[:, None] >> np.arange(changed.size) & 1
        sums = np.abs((1 - 2.0 * patterns) @ changed)
        return float(np.mean(sums >= abs(changed.sum()) - 1e-12))
    signs = np.random.default_rng(0).integers(0, 2, (DRAWS, changed.size)) * 2 - 1
    as_far = int(np.sum(np.abs(signs @ changed) >= abs(changed.sum()) - 1e-12))
    return (as_far + 1) / (DRAWS + 1)


def mcnemar_p(differences: Floats) -> float:
    """Compute McNemar's p, exact and two-sided, of tasks with one sample each: (k,) of -1, 0 and 1."""
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    if gained + lost == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def minimum_detectable_difference(differences: Floats) -> float:
    """Compute the difference that 80 of 100 studies with this spread would have seen: at least six tasks of all."""
    spread = float(differences.std(ddof=1)) if differences.size > 1 else 0.0
    by_spread = float(Z_95_80 * spread / np.sqrt(differences.size))
    return min(1.0, max(by_spread, FEWEST / differences.size))


def _by_task(cells: Sequence[Answers]) -> tuple[dict[str, tuple[float, float]], str | None]:
    """Passed and samples by task, all blocks together; and why there are none."""
    counts: dict[str, tuple[float, float]] = {}
    for cell in cells:
        if cell.accuracy.reason is not None:
            return {}, cell.accuracy.reason
        columns = (cell.accuracy.plus_passed.tolist(), cell.accuracy.samples.tolist())
        for task, passed, samples in zip(cell.accuracy.task_id, *columns, strict=True):
            before = counts.get(task, (0.0, 0.0))
            counts[task] = (before[0] + passed, before[1] + samples)
    return counts, None


def _compared(key: Row, answers: Sequence[Answers], reference: Sequence[Answers]) -> list[Row]:
    ours, why = _by_task(answers)
    theirs, other_why = _by_task(reference)
    tasks = sorted(set(ours) & set(theirs))
    blocks = len({cell.key.block for cell in answers} & {cell.key.block for cell in reference})
    missing = tuple(filter(None, {why, other_why})) or (() if tasks else ("no_valid_block",))
    difference: tuple[float, float] | None = None
    values: dict[str, float | None] = dict.fromkeys(("", "_p", "_p_mcnemar", "_smallest_visible"))
    if not missing:
        mine, others = (np.array([side[task] for task in tasks]) for side in (ours, theirs))
        differences = mine[:, 0] / mine[:, 1] - others[:, 0] / others[:, 1]
        difference = score_interval(differences, -1.0, 1.0)
        once = bool((mine[:, 1] == 1).all() and (others[:, 1] == 1).all())
        values = {
            "": float(differences.mean()),
            "_p": sign_flip_p(differences),
            "_p_mcnemar": mcnemar_p(differences) if once else None,
            "_smallest_visible": minimum_detectable_difference(differences),
        }
    rows = [
        value_row(
            key, f"pass_at_1_plus_difference{name}", value, blocks,
            missing or (() if value is not None else ("several_samples",)),
        )
        for name, value in values.items()
    ]  # fmt: skip
    if difference is not None:
        rows[0].update(lo=difference[0], hi=difference[1], interval_kind="tasks")
    return rows


def _flip_rows(key: Row, answers: Sequence[Answers], single: Sequence[Answers]) -> list[Row]:
    """Answers that differ between loads within a block, beside those that differ between blocks of one load."""
    by_block = {cell.key.block: cell for cell in single}
    between = [flips(cell, by_block[cell.key.block]) for cell in answers if cell.key.block in by_block]
    rows = [_share_row(key, "flips_between_loads", between, "no_valid_block")]
    for name, cells in (("flips_between_repeats", answers), ("flips_between_repeats_single", single)):
        ordered = sorted(cells, key=lambda cell: cell.key.block)
        repeats = [flips(first, second) for first, second in pairwise(ordered)]
        rows.append(_share_row(key, name, repeats, "too_few_blocks"))
    return rows


def _share_row(key: Row, metric: str, counts: Sequence[tuple[int, int]], reason: str) -> Row:
    changed, compared = (sum(count[at] for count in counts) for at in (0, 1))
    share = changed / compared if compared else None
    return value_row(key, metric, share, len(counts), () if compared else (reason,))


def _with_holm(rows: list[Row]) -> list[Row]:
    tested = [row for row in rows if row["metric"] == P and row["value"] is not None]
    adjusted = holm([row["value"] for row in tested])
    return rows + [
        {**row, "metric": f"{P}_holm", "value": value} for row, value in zip(tested, adjusted, strict=True)
    ]
