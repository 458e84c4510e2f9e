"""Coverage where blocks share engine starts: the rule of blocks, the rule of starts, and intervals of these starts."""

from __future__ import annotations

import numpy as np

from analysis.arrays import Floats
from analysis.contrasts.starts import means_of, within_starts
from analysis.contrasts.statistics import student_t

STUDIES = 10_000
TRUTH, OF_BLOCKS = 0.3, 0.02
OF_STARTS = (0.0, 0.02, 0.1)
"""Spread of what starts add, beside that of blocks."""
DESIGNS = {
    "5 blocks on 1": [0] * 5,
    "6 blocks on 2": [0, 0, 0, 1, 1, 1],
    "5 blocks on 3 (2, 2, 1)": [0, 0, 1, 1, 2],
    "6 blocks on 3": [0, 0, 1, 1, 2, 2],
    "15 blocks on 5": [start for start in range(5) for _ in range(3)],
}
_MOST_OFF = 0.015


def main() -> int:
    """Print a table; 1 where a rule does not hold what it promises."""
    rng = np.random.default_rng(11)
    print("\n| blocks on starts | starts differ by | blocks | starts | these starts |\n|---|---|---|---|---|")
    kept = True
    for name, starts in DESIGNS.items():
        for spread in OF_STARTS:
            logs, added = _drawn(rng, starts, spread)
            found: list[float | None] = [_held(*student_t(logs), TRUTH)]
            if len(set(starts)) > 2:
                found.append(_held(*student_t(means_of(logs.T, starts).T), TRUTH))
            else:
                found.append(None)
            found.append(_held(*within_starts(logs, starts), TRUTH + added))
            kept &= all(abs(one - 0.95) < _MOST_OFF for one in found[1:] if one is not None)
            cells = " | ".join("none" if one is None else f"{100 * one:.1f} %" for one in found)
            print(f"| {name} | {100 * spread:.0f} % | {cells} |")
    return int(not kept)


def _drawn(rng: np.random.Generator, starts: list[int], spread: float) -> tuple[Floats, Floats]:
    """Log-ratios (studies, blocks), and what the starts of each study add in the mean."""
    known, of = np.unique(starts, return_inverse=True)
    drawn = rng.normal(0, spread, (STUDIES, known.size))
    return TRUTH + drawn[:, of] + rng.normal(0, OF_BLOCKS, (STUDIES, len(starts))), drawn.mean(axis=1)


def _held(centre: Floats, half: Floats, truth: Floats | float) -> float:
    return float(np.mean(np.abs(centre - truth) <= half))
