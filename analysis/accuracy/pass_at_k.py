"""pass@k: the chance that at least one of k samples of a task solves it, averaged over tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: The k that are given where every task has as many samples.
KS: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Return the unbiased estimate for one task: 1 - C(n - c, k) / C(n, k), n samples of which c passed.

    Chen et al. 2021 (arXiv 2107.03374), equation 1. Raises ``ValueError`` for k above n: there is no estimate.
    """
    if not 0 <= passed <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {passed} passed among {samples} samples")
    return 1.0 - math.comb(samples - passed, k) / math.comb(samples, k)


def mean_pass_at_k(samples: Sequence[int], passed: Sequence[int], k: int) -> float:
    """Return the mean over tasks. Raises ``ValueError`` where a task has fewer than k samples, or there is no task."""
    estimates = [pass_at_k(n, c, k) for n, c in zip(samples, passed, strict=True)]
    if not estimates:
        raise ValueError("pass@k of no tasks")
    return sum(estimates) / len(estimates)


def possible_ks(samples: Sequence[int]) -> list[int]:
    """Return those of ``KS`` that every task has samples for."""
    fewest = min(samples, default=0)
    return [k for k in KS if k <= fewest]
