"""What measuring costs the measured: one load on one engine, the sidecar at 0, 20 and 100 readings a second.

Rounds hold every rate once, in random order, so that a drift of the engine or the machine falls on all rates alike;
each rate is set against 0 of its own round. Finished rounds are kept (``cost.jsonl``): the same command goes on.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.contrasts.statistics import paired_ratio
from analysis.results.sentences import significant
from benchmarks.gpu.command import STARWATT, end, within
from server.engines.engine import free_port, healthy

RATES_HZ = (0.0, 20.0, 100.0)
METRICS = ("output_token_rate", "ttft_ms", "tpot_ms")
_START_S = 600.0
_LATE_S = 60.0
"""What a load may take beyond the stage's end."""


@dataclass(frozen=True)
class Asked:
    """The load, the same for all rates."""

    url: str
    model: str
    dataset: str
    concurrency: int
    requests: int
    max_tokens: int = 128

    def command(self, out: Path, seed: int) -> list[str]:
        """Of the load generator."""
        return [
            *STARWATT, "load", "--url", self.url, "--model", self.model, "--dataset", self.dataset,
            "--concurrency", str(self.concurrency), "--requests", str(self.requests),
            "--max-tokens", str(self.max_tokens), "--ignore-eos", "--seed", str(seed), "--out", str(out),
        ]  # fmt: skip


def measure(asked: Asked, pid: int, kept: Path, rounds: int, until_s: float) -> list[dict[str, Any]]:
    """Rounds that are not in ``kept`` yet, as long as there is time; a row for each round and rate.

    Raises:
        RuntimeError: the load generator failed.
    """
    rows = read(kept)
    for number in range(len(rows) // len(RATES_HZ), rounds):
        done = []
        for hz in np.random.default_rng(number).permutation(RATES_HZ):
            if time.monotonic() > until_s:
                return rows
            done.append({"round": number, "hz": float(hz), **_one(asked, pid, float(hz), number, until_s)})
        rows += done
        with kept.open("a", encoding="utf-8") as file:  # whole rounds alone
            file.writelines(json.dumps(row) + "\n" for row in done)
    return rows


def read(kept: Path) -> list[dict[str, Any]]:
    """What an earlier call measured."""
    return [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.is_file() else []


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line a rate and metric: the ratio to no sidecar at all, with its 95 % interval over rounds."""
    by_rate = {hz: {row["round"]: row for row in rows if row["hz"] == hz} for hz in RATES_HZ}
    lines = [f"{'Hz':>5} {'metric':18} rounds {'with / without':>15}  95 %"]
    for hz in RATES_HZ[1:]:
        for metric in METRICS:
            both = [(by_rate[hz][number][metric], by_rate[0.0][number][metric]) for number in by_rate[0.0]]
            known = [(one, other) for one, other in both if one and other]
            estimate = paired_ratio([one for one, _ in known], [other for _, other in known])
            sure = f"{significant(estimate.lo)} to {significant(estimate.hi)}" if estimate.lo else "-"
            lines.append(
                f"{hz:5g} {metric:18} {estimate.blocks:6d} {significant(estimate.ratio):>15}  {sure}"
            )
    return lines


@contextmanager
def served(variant: str, model: str, out: Path, max_num_seqs: int) -> Iterator[tuple[str, int]]:
    """An engine of this machine; its URL, and its process.

    Raises:
        RuntimeError: it does not answer within ten minutes, or has died.
    """
    port = free_port()
    command = [
        *STARWATT,
        "serve",
        variant,
        "--model",
        model,
        "--port",
        str(port),
        "--max-num-seqs",
        str(max_num_seqs),
    ]
    with (out / "serve.log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _START_S
            while not healthy(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the engine does not answer; see {out / 'serve.log'}")
                time.sleep(0.5)
            yield url, process.pid
        finally:
            end(process)


def _one(asked: Asked, pid: int, hz: float, seed: int, until_s: float) -> dict[str, float | None]:
    with tempfile.TemporaryDirectory() as name, _sidecar(Path(name), pid, hz):
        out = Path(name) / "load"
        code = within(asked.command(out, seed), until_s + _LATE_S, stdout=subprocess.DEVNULL)
        if code not in (0, 3) or not (out / "summary.json").is_file():
            raise RuntimeError(f"the load generator ended with {code}")
        metrics = json.loads((out / "summary.json").read_text("utf-8"))["metrics"]
    return {
        "output_token_rate": metrics["output_token_rate"],
        "ttft_ms": metrics["ttft_ms"]["p50"],
        "tpot_ms": metrics["tpot_ms"]["p50"],
    }


@contextmanager
def _sidecar(folder: Path, pid: int, hz: float) -> Iterator[None]:
    """Reads all the while; at 0 there is none."""
    if not hz:
        yield
        return
    command = [*STARWATT, "meter", "--out", str(folder / "power"), "--pid", str(pid), "--hz", str(hz)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("the sidecar did not start")
            yield
            if process.poll() is not None:
                raise RuntimeError(f"the sidecar ended with {process.returncode} while it was to read")
        finally:
            end(process)
