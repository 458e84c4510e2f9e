"""What the meter costs and how right it is, beside the naive way, Zeus and CodeCarbon.

``python -m benchmarks.energy [--peers PYTHON] [--seconds S] [--worlds N]``; PYTHON is an interpreter with zeus and
codecarbon, neither of which starwatt needs.
"""

from __future__ import annotations

import argparse

from benchmarks.energy.cost import BOUND, costs
from benchmarks.energy.peers import PEERS, compare
from benchmarks.energy.virtual import lines


def main() -> int:
    """Print three tables in Markdown."""
    parser = argparse.ArgumentParser(prog="benchmarks.energy", description=__doc__)
    parser.add_argument("--peers", help="interpreter that has zeus and codecarbon")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each window in real time")
    parser.add_argument(
        "--worlds", type=int, default=300, help="worlds of each sensor and load in virtual time"
    )
    asked = parser.parse_args()
    print("\n## Virtual time: 60 s windows, power alone\n")
    _head("sensor", "load", "ours, p95", "covered", "interval width", "naive, p95")
    for line in lines(asked.worlds):
        _row(
            line.sensor, line.load, _percent(line.ours_p95), _percent(line.covered), _percent(line.width),
            _percent(line.naive_p95),
        )  # fmt: skip
    print("\n## The sidecar's cost, in shares of one CPU\n")
    _head(
        "meter",
        "boards",
        "Hz",
        "CPU",
        f"of {BOUND:.0%}",
        "late p50 / p99 ms",
        "a round p50 / p99 ms",
        "skipped",
    )
    for cost in costs(asked.seconds):
        _row(
            cost.what, str(cost.boards), f"{cost.hz:g}", f"{cost.cpu_share:.2%}", f"{cost.cpu_share / BOUND:.2f}",
            f"{cost.late_p50_ms:.2f} / {cost.late_p99_ms:.2f}", f"{cost.read_p50_ms:.2f} / {cost.read_p99_ms:.2f}",
            str(cost.skipped),
        )  # fmt: skip
    if asked.peers:
        print(f"\n## Real time: {asked.seconds:g} s windows, one library for all\n")
        _head("board", "load", "ours (95 % sampling)", "by", *PEERS)
        for row in compare(asked.peers, asked.seconds):
            _row(
                row.board, row.load, f"{_signed(row.ours)} (±{_percent(row.half_width)})", row.method or "–",
                *(_signed(row.peers[peer]) for peer in PEERS),
            )  # fmt: skip
            for peer, error in row.errors.items():
                print(f"<!-- {row.board}, {peer}: {error} -->")
    return 0


def _head(*names: str) -> None:
    _row(*names)
    _row(*("---" for _ in names))


def _row(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.2f} %"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:+.2f} %"
