"""How much memory the load generator takes for many requests: ``python -m benchmarks.loadgen.memory``.

Its client is one that has every answer at once, so that nothing but the generator's own work takes time: each request
is planned, decoded, written, and converted to Parquet at the end, as it is in a load. With ``--workers`` the traces of
several are merged as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peak import most_bytes
from configs.loads import Closed
from loadgen.clients.exchange import Exchange
from loadgen.merge import merge_traces
from loadgen.replay import Replay
from loadgen.spec import LoadSpec
from traces.clock import now_ns
from traces.streams import GROUP_ROWS

CHUNKS = 64
SIZES = (10_000, 100_000, 1_000_000)
BOUND_MB = 500.0
IN_FLIGHT = 64
_GAP_NS = 5_000_000


class AtOnce:
    """Answers every request at once with so many tokens; times are those of an answer that was streamed."""

    ahead_ns = 0
    opened_late: int | None = 0
    open_most: int | None = IN_FLIGHT
    resent = 0

    def __init__(self) -> None:
        tokens = [_event({"text": f" word{number}", "finish_reason": None}) for number in range(CHUNKS - 1)]
        last = _event({"text": ".", "finish_reason": "length"})
        usage = {"prompt_tokens": 200, "completion_tokens": CHUNKS, "total_tokens": 200 + CHUNKS}
        self._pieces = [*tokens, last, _data({"choices": [], "usage": usage}), b"data: [DONE]\n\n"]

    async def open_ahead(self, count: int) -> None:
        """Nothing is to be opened."""

    async def complete(self, request: bytes, exchange: Exchange) -> None:  # noqa: ARG002 -- it is not read
        """Have been answered."""
        await asyncio.sleep(0)
        exchange.sent_ns = now_ns()
        exchange.pieces_ns = [exchange.sent_ns + _GAP_NS * (at + 1) for at in range(len(self._pieces))]
        exchange.pieces = list(self._pieces)
        exchange.headers = {"content-type": "text/event-stream"}
        exchange.end_ns, exchange.http_status, exchange.status = exchange.pieces_ns[-1], 200, "ok"

    def look(self) -> None:
        """Everything has been taken."""

    async def close(self) -> None:
        """Nothing is open."""


def drive(requests: int, out: Path) -> int:
    """Write so many requests' trace in ``out``; the most memory that this process ever had, in bytes."""
    spec = LoadSpec.model_validate(
        {
            "url": "http://127.0.0.1:1", "model": "m",
            "load": Closed(kind="closed", concurrency=IN_FLIGHT).model_dump(),
            "prompts": {"dataset": "starwatt-24", "tasks": 24, "max_tokens": CHUNKS},
            "amount": {"kind": "requests", "requests": requests},
            "warmup_s": 0, "drain_s": 1, "request_timeout_s": 60, "seed": 1, "block": 1,
        }
    )  # fmt: skip

    async def run() -> None:
        replay = Replay(spec, out, None, client=("at once", AtOnce()))
        await replay.run(lambda _: None, asyncio.Event())

    asyncio.run(run())
    return most_bytes()


def merge(folder: Path) -> int:
    """Merge the workers' traces in a folder; the most memory that this process ever had, in bytes."""
    merge_traces(sorted(folder.glob("worker-*")), folder)
    return most_bytes()


def main() -> int:
    """Print a line for each size; 1 where the largest takes more than its bound."""
    asked = _arguments()
    if asked.folder is not None:
        print(json.dumps(merge(asked.folder) if asked.merge else drive(asked.requests[0], asked.folder)))
        return 0
    print(
        f"{CHUNKS} chunks a request, {asked.workers} workers; row groups of at most {GROUP_ROWS:,} requests\n"
    )
    print("| requests | seconds | MB on disk | peak MB of a worker | of merging |\n|---|---|---|---|---|")
    most_mb = 0.0
    for size in asked.requests:
        with tempfile.TemporaryDirectory(prefix="starwatt-bench-") as scratch:
            most_mb = max(most_mb, _line(size, asked.workers, Path(scratch)))
    print(f"\nmost: {most_mb:.0f} MB (target: {BOUND_MB:.0f} up to {SIZES[-1]:,} requests)")
    return int(most_mb > BOUND_MB)


def _line(size: int, workers: int, scratch: Path) -> float:
    start_s = time.perf_counter()
    several = workers > 1
    folders = [scratch / f"worker-{number}" for number in range(workers)] if several else [scratch]
    driven = [_child("--requests", str(size // workers), "--folder", str(folder)) for folder in folders]
    merged = _child("--merge", "--folder", str(scratch)) if several else 0.0
    seconds = time.perf_counter() - start_s
    on_disk = (scratch / "requests.parquet").stat().st_size / 1e6
    shown = f"{merged:.0f}" if several else "-"
    print(f"| {size:,} | {seconds:.0f} | {on_disk:.0f} | {max(driven):.0f} | {shown} |", flush=True)
    return max(*driven, merged)


def _child(*arguments: str) -> float:
    """The peak of a process of its own, MB."""
    command = [sys.executable, "-m", "benchmarks.loadgen.memory", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=7200)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(done.stdout.split()[-1]) / 1e6


def _event(choice: dict[str, Any]) -> bytes:
    return _data(
        {"id": "cmpl-1", "object": "text_completion", "model": "m", "choices": [{"index": 0, **choice}]}
    )


def _data(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--merge", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
