"""pass@k of the very completions that were measured: ``grades.parquet`` joined with the measured requests.

pass@k is the chance that at least one of k samples of a task solves it, averaged over tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.accuracy.pass_at_k import mean_pass_at_k, possible_ks
from analysis.arrays import Bools, Floats, Ints, floats, ints
from analysis.requests.columns import Requests
from traces.layout import CellKey, board_of
from traces.schemas import ACCURACY

MADE_UP = "made_up_prompts"
"""No data set's tasks were asked, but prompts made up to recorded lengths."""
UNNAMED = "unknown"
"""The task of requests that name none, as of those that others measured."""


@dataclass(frozen=True)
class Accuracy:
    """Verdicts per task over the measured requests of a cell that ended well: k tasks, sorted by name."""

    task_id: tuple[str, ...]  # (k,)
    samples: Ints  # (k,)
    base_passed: Ints  # (k,)
    plus_passed: Ints  # (k,) passed base and plus
    reason: str | None  # why there is no pass@1: random_weights, no_tests, sandbox_missing or not_graded

    @property
    def pass_at_1_plus(self) -> float | None:
        """Return the mean over tasks of the share of samples that passed base and plus tests."""
        return self.mean_share(self.plus_passed)

    def pass_at(self, k: int) -> tuple[float, float]:
        """Return pass@k of base, and of base and plus; raises ``ValueError`` where a task has fewer samples."""
        counts = self.base_passed.tolist(), self.plus_passed.tolist()
        base, plus = (mean_pass_at_k(self.samples.tolist(), passed, k) for passed in counts)
        return base, plus

    @property
    def ks(self) -> list[int]:
        """Return the k for which there is a pass@k."""
        return [] if self.reason is not None else possible_ks(self.samples.tolist())

    def mean_share(self, passed: Ints) -> float | None:
        """Average over tasks the share of samples that passed, of counts (k,); None where there is no pass@1."""
        if self.reason is not None or not self.samples.size:
            return None
        return float((passed / self.samples).mean())


def cell_accuracy(grades: pa.Table | None, requests: Requests, recorded: Sequence[str]) -> Accuracy:
    """Return verdicts of a cell, None where there are none; ``recorded`` are the reason codes of its ``cell.json``."""
    graded_rows = requests.measured & requests.ok
    names = pc.fill_null(requests.column("task_id").combine_chunks(), UNNAMED)
    tasks, inverse = np.unique(
        np.asarray(names.to_numpy(zero_copy_only=False), dtype=str)[graded_rows], return_inverse=True
    )
    samples = np.bincount(inverse, minlength=tasks.size)
    base, plus, reason = _verdicts(grades, requests, graded_rows, recorded)
    return Accuracy(
        task_id=tuple(str(task) for task in tasks),
        samples=samples,
        base_passed=_counts(inverse, base, tasks.size),
        plus_passed=_counts(inverse, plus, tasks.size),
        reason=reason,
    )


def accuracy_table(cells: Sequence[tuple[CellKey, Accuracy]]) -> pa.Table:
    """Make ``tables/accuracy``: one row per model, variant, load and task, the blocks together."""
    totals: dict[tuple[str, str, str, str], Ints] = {}
    reasons: dict[tuple[str, str, str, str], str] = {}
    for key, accuracy in cells:
        counts = np.column_stack((accuracy.samples, accuracy.base_passed, accuracy.plus_passed))
        for task, passed_of in zip(accuracy.task_id, counts, strict=True):
            name = (key.model, key.variant, key.load, task)
            totals[name] = totals.get(name, 0) + passed_of
            if accuracy.reason:
                reasons[name] = accuracy.reason
    rows = []
    for name, (samples, *passed) in sorted(totals.items()):
        base, plus = (None, None) if name in reasons else passed
        *side, task = name
        told = (samples, base, plus, name not in reasons, reasons.get(name))
        rows.append((*side, board_of(name[2]), task, *told))
    return pa.Table.from_pylist(
        [dict(zip(ACCURACY.names, row, strict=True)) for row in rows], schema=ACCURACY
    )


def _verdicts(
    grades: pa.Table | None, requests: Requests, rows: Bools, recorded: Sequence[str]
) -> tuple[Floats, Floats, str | None]:
    """Base and plus (r,) of the graded rows as 1, 0 or NaN, and why some are missing."""
    nothing = np.full(int(rows.sum()), np.nan)
    for reason in (MADE_UP, "random_weights", "no_tests"):
        if reason in recorded:
            return nothing, nothing, reason
    if grades is None:
        return nothing, nothing, "sandbox_missing" if "sandbox_missing" in recorded else "not_graded"
    identity, _ = ints(grades, "request_id")
    order = np.argsort(identity, kind="stable")
    identity, grades = identity[order], grades.take(pa.array(order))
    wanted, _ = ints(requests.trace.read(["request_id"]), "request_id")
    wanted = wanted[rows]
    if not identity.size:
        return nothing, nothing, "not_graded"
    place = np.minimum(np.searchsorted(identity, wanted), identity.size - 1)
    graded = identity[place] == wanted
    base = np.where(graded, floats(grades, "base")[place], np.nan)
    plus = np.where(graded, floats(grades, "plus")[place], np.nan)
    if np.isfinite(base).all() and np.isfinite(plus).all():
        return base, plus, None
    said = pc.unique(grades.column("reason")).to_pylist()
    missing_sandbox = "sandbox_missing" in said or "sandbox_missing" in recorded
    return base, plus, "sandbox_missing" if missing_sandbox else "not_graded"


def _counts(inverse: Ints, passed: Floats, size: int) -> Ints:
    return np.bincount(inverse, weights=np.nan_to_num(passed), minlength=size).astype(np.int64)
