"""Compares what load generators report with what the server knows, at several rates, side by side.

The server has one CPU, the generator another; every figure is of one run, beside the bare client of the same rate.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.loadgen.clients import CLIENTS, OF_THEMSELVES, Order, Reported
from benchmarks.loadgen.truth import Times, Truth, TruthServer, compile_server, self_signed
from benchmarks.loadgen.watch import Watch

SERVER_CPU, CLIENT_CPU = 0, 1
FIRST_MS, EVERY_MS, TOKENS = 20.0, 5.0, 64
_MOST_STEAL, _MOST_OTHERS, _MOST_OFF_MS = 0.01, 0.05, 1.0
_RAMP_NS = 1_000_000_000  # until as many answers end as begin


@dataclass(frozen=True)
class Figures:
    """One generator at one rate. Errors are reported minus true."""

    client: str
    rate: float
    requests: int
    failed: int
    achieved: float
    """Requests that reached the server a second, over those scheduled."""
    ttft_error_mean_ms: float
    ttft_error_p99_ms: float
    ttft_off_mean: float
    """Relative, as is the next: what a stall is judged by."""
    ttft_off_p99: float
    lag_p99_ms: float
    itl_error_mean_ms: float
    itl_median_ms: float
    cpu_s_per_1000: float | None
    memory_mb: float
    steal: float
    others: float
    """CPUs that other processes of this machine took."""
    truth_ttft_p99_ms: float
    disturbed: bool
    cpu_ratio: float | None = None
    """CPU per request over that of the bare client before it, which speaks TLS where this one does."""


def main() -> int:
    """Run the comparison that the command line asks for."""
    asked = _arguments()
    os.sched_setaffinity(0, {SERVER_CPU})
    table: list[Figures] = []
    print(_HEAD)
    with tempfile.TemporaryDirectory(prefix="starwatt-bench-") as folder:
        plain = compile_server(Path(folder))
        tls = compile_server(Path(folder), tls=True) if any(map(_over_tls, asked.clients)) else None
        for rate in asked.rates:
            bare_cpu: float | None = None
            for client in asked.clients:
                binary = tls if _over_tls(client) and tls is not None else plain
                for _ in range(asked.tries):
                    figures = one_run(client, rate, asked.seconds, binary, stall_s=asked.stall_s)
                    if not figures.disturbed:
                        break
                if client.startswith("bare"):
                    bare_cpu = figures.cpu_s_per_1000
                if bare_cpu and figures.cpu_s_per_1000:
                    figures = Figures(**{**asdict(figures), "cpu_ratio": figures.cpu_s_per_1000 / bare_cpu})
                table.append(figures)
                print(_line(figures), flush=True)
                if asked.json:
                    asked.json.write_text(
                        json.dumps([asdict(row) for row in table], indent=1), encoding="utf-8"
                    )
    return 0


def _over_tls(client: str) -> bool:
    return client.endswith("-tls")


def one_run(client: str, rate: float, seconds: float, binary: Path, *, stall_s: float = 0.0) -> Figures:
    """One generator on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="starwatt-bench-") as folder:
        scratch = Path(folder)
        timing = {"first-ms": FIRST_MS, "every-ms": EVERY_MS, "tokens": TOKENS}
        if stall_s:
            timing |= {"stall-at": 1.0 + seconds / 3, "stall-s": stall_s}
        pem = self_signed(scratch) if _over_tls(client) else None
        if pem is not None:
            os.environ["SSL_CERT_FILE"] = str(pem)
        with TruthServer(binary, scratch, timing, cpu=SERVER_CPU, pem=pem) as server:
            order = Order(server.url, rate, seconds, CLIENT_CPU, scratch)
            with Watch(server.pid) as watch:
                reported = CLIENTS[client](order)
        return compare(client, order, reported, server.truth, watch, stalled=bool(stall_s))


def compare(
    client: str, order: Order, reported: Reported, everything: Truth, watch: Watch, *, stalled: bool
) -> Figures:
    """The figures of one run."""
    truth = everything.part(reported.skip, len(reported.sent_ns))
    span_s = float(truth.arrival_ns[-1] - truth.arrival_ns[0]) * 1e-9
    scheduled_span_s = (len(truth.arrival_ns) - 1) / order.rate
    said_mean, said_p99 = _mean_p99_ms(reported.ttft_ns)
    of_mean, of_p99 = _mean_p99_ms(truth.ttft_ns)
    steady = truth.arrival_ns[truth.arrival_ns > truth.arrival_ns[0] + _RAMP_NS]
    cpu_s = watch.cpu_s(int(steady[0]), int(steady[-1])) if len(steady) > 1 else None
    whole = int(truth.arrival_ns[0]), int(truth.last_token_ns.max())
    steal, others = watch.steal(*whole), watch.others(*whole)
    late_ms = (reported.sent_ns - reported.scheduled_ns) * 1e-6
    return Figures(
        client=client,
        rate=order.rate,
        requests=len(truth.arrival_ns),
        failed=reported.failed,
        achieved=scheduled_span_s / span_s * len(truth.arrival_ns) / order.count,
        ttft_error_mean_ms=said_mean - of_mean,
        ttft_error_p99_ms=said_p99 - of_p99,
        ttft_off_mean=said_mean / of_mean - 1,
        ttft_off_p99=said_p99 / of_p99 - 1,
        lag_p99_ms=float(np.percentile(late_ms, 99)),
        itl_error_mean_ms=float(reported.gaps_ns.mean() - truth.itl_ns) * 1e-6,
        itl_median_ms=float(np.median(reported.gaps_ns)) * 1e-6,
        cpu_s_per_1000=None if cpu_s is None else cpu_s * 1000 / (len(steady) - 1),
        memory_mb=watch.memory_mb,
        steal=steal,
        truth_ttft_p99_ms=of_p99,
        others=others,
        disturbed=steal >= _MOST_STEAL
        or others >= _MOST_OTHERS
        or (not stalled and of_p99 - FIRST_MS > _MOST_OFF_MS),
    )


def _mean_p99_ms(values_ns: Times) -> tuple[float, float]:
    return float(values_ns.mean()) * 1e-6, float(np.percentile(values_ns, 99)) * 1e-6


_HEAD = (
    "client         rate  achieved  failed  TTFT error mean/p99 ms  (relative)       lag p99 ms  ITL error ms  "
    "ITL median ms  CPU s/1000  / bare    MB  truth p99 ms  steal  others"
)


def _line(row: Figures) -> str:
    cpu = "" if row.cpu_s_per_1000 is None else f"{row.cpu_s_per_1000:.3f}"
    ratio = "" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}"
    return (
        f"{row.client:13}{row.rate:6.0f}{row.achieved * 100:9.2f}%{row.failed:8d}"
        f"{row.ttft_error_mean_ms:14.2f} /{row.ttft_error_p99_ms:8.2f}"
        f"{row.ttft_off_mean * 100:8.1f} /{row.ttft_off_p99 * 100:6.1f} %"
        f"{row.lag_p99_ms:13.2f}{row.itl_error_mean_ms:14.4f}{row.itl_median_ms:15.3f}"
        f"{cpu:>12}{ratio:>8}{row.memory_mb:6.0f}{row.truth_ttft_p99_ms:14.2f}{row.steal * 100:6.1f} %{row.others:8.2f}"
        f"{'  disturbed' if row.disturbed else ''}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loadgen", description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[100, 400, 800], help="requests a second")
    parser.add_argument("--seconds", type=float, default=15.0, help="of measured load in each run")
    parser.add_argument("--clients", nargs="+", choices=list(CLIENTS), default=list(OF_THEMSELVES))
    parser.add_argument(
        "--stall-s", type=float, default=0.0, help="the server stalls so long, a third into the run"
    )
    parser.add_argument(
        "--tries", type=int, default=3, help="a disturbed run is made again, at most so often"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()
