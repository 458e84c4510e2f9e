"""Each load generator at one rate: how it is started, and what it reports, in nanoseconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.loadgen.truth import Times
from configs.loads import Open
from configs.schema import Prompts
from loadgen.process import run_load
from loadgen.spec import LoadSpec, Requests
from traces.streams import read_trace

WARMUP_S = 1.0
_LIMIT_S = 300
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Reported:
    """What a generator says of its requests. ``skip``: requests that it made before those."""

    scheduled_ns: Times
    sent_ns: Times
    ttft_ns: Times
    """As the tool reports it: from the schedule where the tool says so, else from sending."""
    gaps_ns: Times
    failed: int
    skip: int = 0


@dataclass(frozen=True)
class Order:
    """What to do."""

    url: str
    rate: float
    seconds: float
    cpu: int
    scratch: Path

    @property
    def count(self) -> int:
        """Requests that are measured."""
        return round(self.rate * self.seconds)


Client = Callable[[Order], Reported]


def ours(order: Order) -> Reported:
    """``python -m loadgen``; latency counts from the schedule."""
    return _driven(order, "auto")


def httptools(order: Order) -> Reported:
    """The same with the client of the event loop."""
    return _driven(order, "httptools")


def _driven(order: Order, client: Literal["auto", "httptools"]) -> Reported:
    spec = LoadSpec(
        url=order.url,
        model="m",
        load=Open(kind="open", qps=order.rate, arrivals="constant"),
        prompts=Prompts.model_validate({"dataset": "starwatt-24", "max_tokens": 64, "output": {"fixed": 64}}),
        amount=Requests(kind="requests", requests=order.count),
        warmup_s=WARMUP_S,
        drain_s=10,
        seed=20,
        block=1,
        client=client,
    )
    run_load(spec, order.scratch, cpus=(order.cpu,))
    table = read_trace(order.scratch, "requests")
    roles = table.column("role").to_numpy(zero_copy_only=False)
    whole = (roles == "measured") & (table.column("status").to_numpy(zero_copy_only=False) == "ok")
    scheduled, sent, first = (
        table.column(name).to_numpy()[whole].astype(np.int64)
        for name in ("scheduled_ns", "sent_ns", "first_token_ns")
    )
    gaps = [np.diff(times) for times in table.filter(whole).column("chunk_ns").to_numpy(zero_copy_only=False)]
    return Reported(
        scheduled, sent, first - scheduled, np.concatenate(gaps), order.count - len(sent),
        skip=int(np.count_nonzero(roles == "warmup")),
    )  # fmt: skip


def bare(order: Order) -> Reported:
    """The limit; latency from the schedule, as ours."""
    out = order.scratch / "bare.npz"
    arguments = [order.url, str(order.rate), str(order.seconds), str(out)]
    _run(order, [sys.executable, "-m", "benchmarks.loadgen.bare_client", *arguments])
    return _saved(out, order.count, from_schedule=True)


def locust(order: Order) -> Reported:
    """Locust without its web page; latency from sending, as Locust counts it."""
    out = order.scratch / "locust.npz"
    users = str(round(order.rate * 0.34 * 2) + 16)  # an answer lasts 0.34 s
    command = [sys.executable, "-m", "locust", "-f", str(_HERE / "locust_file.py"), "--headless", "-u", users]
    command += ["-r", users, "--host", order.url, "-t", f"{order.seconds * 2 + 20:.0f}s"]
    command += ["--only-summary", "--loglevel", "ERROR", "--exit-code-on-error", "0"]
    _run(order, command, BENCH_RATE=str(order.rate), BENCH_COUNT=str(order.count), BENCH_OUT=str(out))
    return _saved(out, order.count, from_schedule=False)


def vllm(order: Order) -> Reported:
    """``vllm bench serve``, with equal gaps."""
    prompts, out = order.scratch / "prompts.jsonl", order.scratch / "vllm.json"
    prompts.write_text('{"prompt": "def f():"}\n' * order.count, encoding="utf-8")
    code = "from vllm.benchmarks.serve import *; p = argparse.ArgumentParser(); add_cli_args(p); main(p.parse_args())"
    command = [sys.executable, "-c", code, "--backend", "openai", "--base-url", order.url, "--model", "m"]
    command += ["--dataset-name", "custom", "--dataset-path", str(prompts), "--skip-tokenizer-init"]
    command += ["--num-prompts", str(order.count), "--request-rate", str(order.rate), "--burstiness", "inf"]
    command += ["--ignore-eos", "--ready-check-timeout-sec", "0", "--disable-tqdm", "--save-result"]
    command += ["--save-detailed", "--result-dir", str(order.scratch), "--result-filename", out.name]
    _run(order, command)
    said = json.loads(out.read_text(encoding="utf-8"))
    whole = [number for number, gaps in enumerate(said["itls"]) if gaps]
    sent = (np.array(said["start_times"])[whole] * 1e9).astype(np.int64)
    offset = np.array(whole, dtype=np.int64) * round(1e9 / order.rate)
    return Reported(
        scheduled_ns=offset
        + int((sent - offset).min()),  # it keeps no schedule: the earliest request fixes it
        sent_ns=sent,
        ttft_ns=(np.array(said["ttfts"])[whole] * 1e9).astype(np.int64),
        gaps_ns=(np.concatenate([said["itls"][number] for number in whole]) * 1e9).astype(np.int64),
        failed=order.count - len(whole),
    )


CLIENTS: dict[str, Client] = {
    "bare": bare, "ours": ours, "httptools": httptools, "vllm": vllm, "locust": locust,
    "bare-tls": bare, "ours-tls": ours, "httptools-tls": httptools,
}  # fmt: skip
OF_THEMSELVES = ("bare", "ours", "vllm", "locust", "bare-tls", "ours-tls")


def _run(order: Order, command: list[str], **environment: str) -> None:
    log = order.scratch / "log"
    with log.open("wb") as output:
        done = subprocess.run(
            ["taskset", "-c", str(order.cpu), *command],  # noqa: S607
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            timeout=_LIMIT_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(
            f"{command[:4]}: exit {done.returncode}: {log.read_text(errors='replace')[-1500:]}"
        )


def _saved(path: Path, count: int, *, from_schedule: bool) -> Reported:
    with np.load(path) as saved:
        scheduled, sent, first = saved["scheduled_ns"], saved["sent_ns"], saved["first_ns"]
        ttft = first - (scheduled if from_schedule else sent)
        return Reported(scheduled, sent, ttft, saved["gaps_ns"], count - len(sent))
