"""Attribution of 10^4, 10^5 and 10^6 requests of 64 chunks by all rules, and a plain pandas loop beside it at 10^4."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.attribution.traces import CHUNKS, write_traces

SIZES = (10_000, 100_000, 1_000_000)
PLAIN_AT = 10_000
BOUND_S, BOUND_GB, BOUND_RATIO = 10.0, 6.0, 50.0


def main() -> int:
    """Print a table; 1 where a target is missed."""
    print(f"{CHUNKS} chunks a request, as many power readings as requests; seconds, one process each\n")
    print(
        "| requests | files | columns, shares | window energy | in_flight, tokens | phase | all but files | peak GB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    sums: dict[int, float] = {}
    peak = plain_s = 0.0
    with tempfile.TemporaryDirectory(prefix="starwatt-bench-") as scratch:
        for size in SIZES:
            folder = Path(scratch) / str(size)
            folder.mkdir()
            _run("-c", f"from benchmarks.attribution.traces import write_traces as w; from pathlib import Path; "
                       f"w(Path({str(folder)!r}), {size}, {size})")  # fmt: skip
            found = json.loads(_run("-m", "benchmarks.attribution.timed", str(folder), "ours"))
            seconds: dict[str, Any] = found["seconds"]
            sums[size] = sum(value for name, value in seconds.items() if name != "files")
            peak = found["peak_gb"]
            stages = " | ".join(f"{value:.2f}" for value in seconds.values())
            print(f"| {size:,} | {stages} | {sums[size]:.2f} | {peak:.2f} |", flush=True)
            if size == PLAIN_AT:
                told = json.loads(_run("-m", "benchmarks.attribution.timed", str(folder), "plain"))
                plain_s = told["seconds"]["all"]
    largest = SIZES[-1]
    scaled_s = plain_s * largest / PLAIN_AT
    ratio = scaled_s / sums[largest]
    print(
        f"\nplain pandas loop: {plain_s:.1f} s at {PLAIN_AT:,}; scaled in proportion to {largest:,}: {scaled_s:.0f} s"
    )
    print(f"ratio at {largest:,}: {ratio:.0f} (target: at least {BOUND_RATIO:.0f})")
    print(f"time from {SIZES[1]:,} to {largest:,}: x {sums[largest] / sums[SIZES[1]]:.1f} for x 10")
    print(
        f"{sums[largest]:.1f} s (target: {BOUND_S:.0f}), {peak:.1f} GB with reading (target: {BOUND_GB:.0f})"
    )
    return int(sums[largest] > BOUND_S or peak > BOUND_GB or ratio < BOUND_RATIO)


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout


__all__ = ["main", "write_traces"]
