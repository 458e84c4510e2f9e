"""Keep what was answered in each cell and what of it was right, to compare cells with each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.accuracy.verdicts import Accuracy
from analysis.requests.columns import Requests
from traces.layout import CellKey


@dataclass(frozen=True)
class Answers:
    """Hold one cell's verdicts per task, and a fingerprint of each completion of a measured request that ended well."""

    key: CellKey
    accuracy: Accuracy
    prints: pd.Series  # uint64, by (task_id, sample)


def answers_of(key: CellKey, requests: Requests, accuracy: Accuracy) -> Answers:
    """Fingerprints are 64 bits of the text: completions that differ are told apart, texts are let go."""
    rows = requests.measured & requests.ok
    frame = requests.table.select(["task_id", "sample", "completion"]).to_pandas()[rows]
    values = pd.util.hash_array(frame["completion"].fillna("").to_numpy(dtype=object))
    index = pd.MultiIndex.from_frame(frame[["task_id", "sample"]])
    prints = pd.Series(values, index=index)
    return Answers(key, accuracy, prints[~prints.index.duplicated()])


def flips(answers: Answers, other: Answers) -> tuple[int, int]:
    """Completions of the same task and sample that differ, and how many there are of both."""
    both = pd.concat([answers.prints, other.prints], axis=1, join="inner").to_numpy()
    return int(np.sum(both[:, 0] != both[:, 1])), int(both.shape[0])
