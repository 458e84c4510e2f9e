"""Analysis and report of 100, 1 000 and 10 000 cells, each a command of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.analysis.cells import many_cells
from study.exit_codes import INVALID
from traces.layout import RunDir

SIZES = (100, 1_000, 10_000)
BOUNDS_S = {"from nothing": 60.0, "one new cell": 5.0, "report": 20.0}
"""At the largest size, on two cores."""
BOUND_GB = 2.0
_MEASURED = """
import json, resource, subprocess, sys
done = subprocess.run([sys.executable, "-c", "from study.cli import main; main()", *sys.argv[1:]],
                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, done.stderr[-2000:], used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9]))
"""


@dataclass(frozen=True)
class Spent:
    """What a command took: seconds of the clock and of all CPUs, and the most memory of any of its processes."""

    wall_s: float
    cpu_s: float
    peak_gb: float

    def __str__(self) -> str:
        return f"{self.wall_s:.1f} ({self.cpu_s:.1f}, {self.peak_gb:.2f} GB)"


def main() -> int:
    """Print a table; 1 where a bound is missed."""
    print(
        "three variants, five loads, eight requests a cell; seconds (CPU seconds, most memory of a process)\n"
    )
    print("| cells | from nothing | nothing new | one new cell | report |\n|---|---|---|---|---|")
    spent: dict[str, Spent] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="starwatt-bench-") as scratch:
            spent = _of(Path(scratch), size)
        print(f"| {size:,} | {' | '.join(map(str, spent.values()))} |", flush=True)
    missed = [name for name, bound_s in BOUNDS_S.items() if spent[name].wall_s > bound_s]
    peak_gb = max(spent[name].peak_gb for name in ("from nothing", "one new cell"))
    missed += ["memory"] if peak_gb > BOUND_GB else []
    print(f"\nbounds at {SIZES[-1]:,}: {BOUNDS_S}, {BOUND_GB} GB; missed: {', '.join(missed) or 'none'}")
    return int(bool(missed))


def _of(scratch: Path, size: int) -> dict[str, Spent]:
    """One new cell is the last one, which was away meanwhile."""
    run = many_cells(scratch / "run", size).run
    key = max(run.finished_cells())
    shutil.move(run.cell(key), scratch / "new")
    time.sleep(3)  # files that are younger are not known by their times
    found = {"from nothing": _timed("analyze", run), "nothing new": _timed("analyze", run)}
    shutil.move(scratch / "new", run.cell(key))
    return {**found, "one new cell": _timed("analyze", run), "report": _timed("report", run)}


def _timed(command: str, run: RunDir) -> Spent:
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, command, str(run.root)], capture_output=True, text=True, check=True
    )
    wall_s = time.monotonic() - begun_s
    code, words, cpu_s, peak_gb = json.loads(done.stdout)
    if code not in (0, INVALID):  # the simulated world has cells that are not to be believed
        raise SystemExit(f"starwatt {command}: {words}")
    return Spent(wall_s, cpu_s, peak_gb)
