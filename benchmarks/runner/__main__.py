"""``python -m benchmarks.runner``: seconds beyond a cell's phases, and seconds with a study of 10 000 cells."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.runner.cells import cell_costs
from benchmarks.runner.large import large_study, measured_but_one, timed, up_to_the_first_engine
from tests.golden.nvml.world import COUNTER, INSTANT, TEMPERATURE, BoardModel, GoldenBoards, compile_library

ROOT = Path(__file__).resolve().parents[2]
_MOST_ADDED_S = 3.0
_MOST_LARGE_S = 5.0


def main() -> None:
    """Both, each beside its limit. Starts itself anew with the simulated boards on the loader's path."""
    if len(sys.argv) == 2:
        _measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        library = compile_library(folder)
        offers = INSTANT | COUNTER | TEMPERATURE
        boards = GoldenBoards(folder / "boards", [BoardModel("GPU-0", offers=offers)])
        served = f"{ROOT / 'tests' / 'golden' / 'served'}{os.pathsep}{ROOT}"
        environment = {**os.environ, **boards.environment(library), "PYTHONPATH": served}
        command = [sys.executable, "-m", "benchmarks.runner", scratch]
        code = os.spawnve(os.P_WAIT, sys.executable, command, environment)  # noqa: S606
    sys.exit(code)


def _measure(folder: Path) -> None:
    costs = cell_costs(folder, blocks=5)
    added = sorted(cost.added_s for cost in costs)
    cpu_s = median(cost.cpu_s for cost in costs)
    print(f"cells: {len(costs)}; beyond engine start, phases and rest, seconds a cell")
    print(f"  median {median(added):.2f}, most {added[-1]:.2f} (limit {_MOST_ADDED_S:g}); CPU {cpu_s:.2f}")
    study = large_study(folder)
    planned, anew = timed(lambda: up_to_the_first_engine(study, folder / "large"))
    measured_but_one(study, folder / "large")
    left, resumed = timed(lambda: up_to_the_first_engine(study, folder / "large"))
    print(f"a study of {planned} cells, seconds up to its first engine start (limit {_MOST_LARGE_S:g})")
    print(f"  planned {anew.wall_s:.2f} (CPU {anew.cpu_s:.2f})")
    print(f"  resumed with {left} cell left {resumed.wall_s:.2f} (CPU {resumed.cpu_s:.2f})")


if __name__ == "__main__":
    main()
