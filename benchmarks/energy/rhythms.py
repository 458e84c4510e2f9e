"""Loads with a rhythm, found or covered, by sensor and shape: the table of docs/measurements/energy.md.

``python -m benchmarks.energy.rhythms [WINDOWS]``: so many windows (30) of each rate, shape and sensor, half as many
more where most are invalid.
"""

from __future__ import annotations

import sys

import numpy as np

from tests.analysis.energy.test_rhythm import SHAPES, TRIED, Shape, attempts, believed
from tests.golden.sensors import SensorModel

_LEAST = 15  # windows that are not invalid, for a group to have a share of its own


def main(each: int) -> None:
    """Print a line a sensor and shape as it is done."""
    head = "| sensor | shape | windows | `aliased` | of the others covered | in the worst group | width, median |"
    print(f"{head}\n| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for model in TRIED:
        for shape in SHAPES:
            print(line(model, shape, each), flush=True)


def line(model: SensorModel, shape: Shape, each: int) -> str:
    """Of one sensor and shape."""
    groups = list(attempts(model, shape, each, 23, most=each * 3 // 2).values())
    trials = [trial for group in groups for trial in group]
    kept = [trial for trial in trials if "aliased" not in trial.found.reasons]
    covered = np.mean([trial.covered for trial in kept])
    worst = min((np.mean(believed(group)) for group in groups if len(believed(group)) >= _LEAST), default=1.0)
    width = 100 * float(np.median([trial.width for trial in kept]))
    first = [trial for group in groups for trial in group[:each]]
    invalid = np.mean(["aliased" in trial.found.reasons for trial in first])
    cells = (model.name, shape.__name__, str(len(trials)), f"{100 * invalid:.0f} %", f"{100 * covered:.1f} %",
             f"{100 * worst:.0f} %", f"{width:.1f} %")  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
