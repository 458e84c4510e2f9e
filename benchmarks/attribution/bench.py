"""Attribution of requests of 64 chunks by all rules, at several sizes, and a plain pandas loop beside it at 10 000."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.attribution.traces import CHUNKS

SIZES = (10_000, 100_000, 1_000_000)
PLAIN_AT = 10_000
BOUND_US, BOUND_GB, BOUND_RATIO = 10.0, 4.0, 50.0
"""Microseconds a request, memory at most, and how much quicker than the loop: of the largest size."""
_WRITE = """
from pathlib import Path
from benchmarks.attribution.traces import write_traces
write_traces(Path({folder!r}), {requests}, {requests}{group})
"""


def main() -> int:
    """Print a table; 1 where a target is missed."""
    asked = _arguments()
    print(f"{CHUNKS} chunks a request, as many power readings as requests; seconds, one process each\n")
    print(
        "| requests | MB on disk | power | first pass | window energy | in_flight, tokens | second pass, phase "
        "| all | peak GB |\n|---|---|---|---|---|---|---|---|---|"
    )
    sums: dict[int, float] = {}
    peak_gb, plain_s = 0.0, None
    for size in asked.requests:
        with tempfile.TemporaryDirectory(prefix="starwatt-bench-") as scratch:
            folder = Path(scratch)
            group = f", group={asked.group}" if asked.group else ""
            _run("-c", _WRITE.format(folder=scratch, requests=size, group=group))
            found = json.loads(_run("-m", "benchmarks.attribution.timed", scratch, "ours"))
            if size == PLAIN_AT:
                told = json.loads(_run("-m", "benchmarks.attribution.timed", scratch, "plain"))
                plain_s = told["seconds"]["all"] / size
            print(_line(size, folder, found), flush=True)
        sums[size], peak_gb = sum(found["seconds"].values()), max(peak_gb, found["peak_gb"])
    return _verdict(sums, peak_gb, plain_s)


def _line(size: int, folder: Path, found: dict[str, Any]) -> str:
    on_disk = (folder / "requests.parquet").stat().st_size / 1e6
    stages = " | ".join(f"{value:.2f}" for value in found["seconds"].values())
    total_s = sum(found["seconds"].values())
    return f"| {size:,} | {on_disk:.0f} | {stages} | {total_s:.2f} | {found['peak_gb']:.2f} |"


def _verdict(sums: dict[int, float], peak_gb: float, plain_s: float | None) -> int:
    largest = max(sums)
    each_us = sums[largest] / largest * 1e6
    print(
        f"\n{largest:,}: {each_us:.1f} us a request (target: {BOUND_US:g}), {peak_gb:.2f} GB (target: {BOUND_GB:g})"
    )
    missed = each_us > BOUND_US or peak_gb > BOUND_GB
    if plain_s is None:
        return int(missed)
    ratio = plain_s * largest / sums[largest]
    print(
        f"plain pandas loop at {PLAIN_AT:,}, files read beforehand: {plain_s * PLAIN_AT:.1f} s; in proportion at"
    )
    print(f"{largest:,}: {plain_s * largest:.0f} s, {ratio:.0f} times ours (target: {BOUND_RATIO:g})")
    return int(missed or ratio < BOUND_RATIO)


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, nargs="+", default=list(SIZES))
    parser.add_argument(
        "--group", type=int, help="requests to a row group; else as the load generator writes them"
    )
    return parser.parse_args()
