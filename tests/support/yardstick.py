"""What starting two Python processes costs here: a bound in its multiples holds on machines of any speed."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from benchmarks.runner.large import Spent
from tests.support.busy import PATIENCE_S

_OF_A_CELL = ("loadgen.replay", "server.power.sampler")


def two_processes() -> Spent:
    """Measure what load generator and sidecar take before a cell's work begins; the least of three tries."""
    tries = [_once() for _ in range(3)]
    return Spent(min(one.wall_s for one in tries), min(one.cpu_s for one in tries))


def _once() -> Spent:
    wall_s, cpu_s = time.monotonic(), _children_s()
    for module in _OF_A_CELL:
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, timeout=PATIENCE_S)
    return Spent(time.monotonic() - wall_s, _children_s() - cpu_s)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
