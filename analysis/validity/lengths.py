"""Whether prompts and answers were as long as the recording says that was replayed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.arrays import floats
from analysis.requests.columns import Requests, replays_lengths
from analysis.validity.reasons import Check

_PAIRS = (("asked_prompt_tokens", "prompt_tokens"), ("asked_output_tokens", "output_tokens"))


def length_checks(requests: Requests) -> Iterator[Check]:
    """Yield a note with the number of completed requests of other lengths; nothing where no lengths were asked for."""
    if not replays_lengths(requests):
        return
    table = requests.trace.read([name for pair in _PAIRS for name in pair])
    differ = np.zeros(requests.count, dtype=bool)
    for asked, served in _PAIRS:
        counted = floats(table, served)
        differ |= np.isfinite(counted) & (counted != floats(table, asked))
    count = float((differ & requests.completed).sum())
    yield Check("lengths_not_kept", False, count, "requests", hi=0.0, noted=count > 0)
