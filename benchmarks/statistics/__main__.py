"""``python -m benchmarks.statistics``: coverage of nominal 95 % intervals over 10 000 simulated studies a figure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.arrays import Floats
from analysis.contrasts.statistics import student_t
from benchmarks.statistics import starts

STUDIES = 10_000
BLOCKS = (3, 5, 11)
TRUTH, SPREAD = 0.3, 0.05  # of log-ratios


def worlds(rng: np.random.Generator) -> dict[str, Callable[[int], Floats]]:
    """By name: log-ratios of so many studies (rows) of k blocks, whose truth is ``TRUTH``."""

    def noise(k: int) -> Floats:
        return np.asarray(TRUTH + rng.normal(0, SPREAD, (STUDIES, k)), dtype=np.float64)

    def common(k: int) -> Floats:
        ours, theirs = rng.normal(0, SPREAD / np.sqrt(2), (2, STUDIES, k))
        drift = np.linspace(0, 0.26, k)
        return np.asarray(TRUTH + (ours + drift) - (theirs + drift), dtype=np.float64)

    def alike(k: int) -> Floats:
        found = np.empty((STUDIES, k))
        found[:, 0] = rng.normal(size=STUDIES)
        for at in range(1, k):
            found[:, at] = 0.5 * found[:, at - 1] + np.sqrt(0.75) * rng.normal(size=STUDIES)
        return TRUTH + SPREAD * found

    def outliers(k: int) -> Floats:
        return noise(k) + 10 * SPREAD * ((rng.random((STUDIES, k)) < 0.1) - 0.1)

    return {
        "normal noise": noise,
        "drift of 30 % that both sides share": common,
        "skewed: exponential noise": lambda k: TRUTH + SPREAD * (rng.exponential(1, (STUDIES, k)) - 1),
        "skewed more: lognormal noise": lambda k: (
            TRUTH + SPREAD * (rng.lognormal(0, 1, (STUDIES, k)) - np.exp(0.5))
        ),
        "heavy tails: Student t, 3 degrees": lambda k: TRUTH + SPREAD * rng.standard_t(3, (STUDIES, k)),
        "one block in ten off by ten spreads": outliers,
        "neighbouring blocks alike (correlation 0.5)": alike,
        "one side drifts by 10 %; truth: its mean": lambda k: noise(k) + np.linspace(-0.05, 0.05, k),
        "one side drifts by 10 %; truth: as it began": lambda k: noise(k) + np.linspace(0, 0.1, k),
    }


def main() -> int:
    """Print a table; 1 where normal noise is not covered by 94 to 96 of 100."""
    print(f"| world | {' | '.join(f'{k} blocks' for k in BLOCKS)} |\n|---|{'---|' * len(BLOCKS)}")
    kind = True
    for name, draw in worlds(np.random.default_rng(7)).items():
        shares = []
        for k in BLOCKS:
            centre, half = student_t(draw(k))
            shares.append(float(np.mean(np.abs(centre - TRUTH) <= half)))
        print(f"| {name} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")
        if name == "normal noise":
            kind = all(0.94 <= share <= 0.96 for share in shares)
    return max(int(not kind), starts.main())


if __name__ == "__main__":
    raise SystemExit(main())
