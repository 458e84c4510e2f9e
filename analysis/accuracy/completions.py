"""Keep what was answered in each cell and what of it was right, to compare cells with each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from analysis.accuracy.verdicts import Accuracy
from analysis.requests.columns import Requests
from traces.layout import CellKey

Prints = Mapping[tuple[str | None, int | None], int]
"""A fingerprint of 64 bits by task and sample."""


@dataclass(frozen=True)
class Answers:
    """Hold one cell's verdicts per task, and a fingerprint of each completion of a measured request that ended well."""

    key: CellKey
    accuracy: Accuracy
    prints: Prints


def answers_of(key: CellKey, requests: Requests, accuracy: Accuracy) -> Answers:
    """Fingerprint completions by 64 bits of their text: those that differ are told apart, texts are let go."""
    wanted, first = requests.measured & requests.ok, 0
    prints: dict[tuple[str | None, int | None], int] = {}
    for piece in requests.trace.pieces(["task_id", "sample", "completion"]):
        rows = np.flatnonzero(wanted[first : first + piece.num_rows])
        first, table = first + piece.num_rows, piece.take(rows)
        texts = pc.fill_null(table["completion"], "").to_numpy()
        values = pd.util.hash_array(np.asarray(texts, dtype=object), categorize=False).tolist()
        of = zip(table["task_id"].to_pylist(), table["sample"].to_pylist(), values, strict=True)
        for task, sample, value in of:
            prints.setdefault((task, sample), value)
    return Answers(key, accuracy, prints)


def flips(answers: Answers, other: Answers) -> tuple[int, int]:
    """Count completions of the same task and sample that differ, and how many there are of both."""
    both = answers.prints.keys() & other.prints.keys()
    return sum(answers.prints[of] != other.prints[of] for of in both), len(both)
