"""Drives a load on a server, in this process or as its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from pydantic import TypeAdapter

from configs.datasets import load_dataset
from configs.loads import Load
from configs.prompt_format import render_prompt
from loadgen.replay import Progress, Replay
from loadgen.result import LoadResult
from loadgen.spec import LoadSpec
from traces.streams import read_trace

TASK_OF_PROMPT = {render_prompt(task.prompt): task.task_id for task in load_dataset("starwatt-24").tasks}
LOADS: TypeAdapter[Load] = TypeAdapter(Load)
SINGLE = {"kind": "single_stream"}
TASKS = 5


def closed(concurrency: int) -> dict[str, Any]:
    """A closed load."""
    return {"kind": "closed", "concurrency": concurrency}


def constant(qps: float) -> dict[str, Any]:
    """An open load with equal gaps."""
    return {"kind": "open", "qps": qps, "arrivals": "constant"}


def requests(count: int) -> dict[str, Any]:
    """So many measured requests."""
    return {"kind": "requests", "requests": count}


def passes(count: int, min_s: float = 0.0) -> dict[str, Any]:
    """Whole passes over the prompts."""
    return {"kind": "passes", "measure": {"passes": count, "min_s": min_s}}


def make_spec(url: str, load: dict[str, Any], **changes: Any) -> LoadSpec:
    """A spec with five tasks, one pass and no warm-up, but for ``changes``."""
    fields = {
        "url": url,
        "model": "m",
        "load": load,
        "prompts": {"dataset": "starwatt-24", "tasks": TASKS, "max_tokens": 64},
        "amount": passes(1),
        "warmup_s": 0,
        "drain_s": 10,
        "request_timeout_s": 20,
        "seed": 20,
        "block": 1,
    }
    return LoadSpec.model_validate({**fields, **changes})


@dataclass
class Driven:
    """What a load left."""

    result: LoadResult
    rows: list[dict[str, Any]]
    progress: list[Progress] = field(default_factory=list)

    def of(self, role: str) -> list[dict[str, Any]]:
        """The rows of one role, in the order of their numbers."""
        return sorted((row for row in self.rows if row["role"] == role), key=lambda row: row["request_id"])


def drive(
    spec: LoadSpec,
    out: Path,
    *,
    api_key: str | None = None,
    stop_when: Callable[[Progress], bool] = lambda _: False,
) -> Driven:
    """Run the load in this process, on the event loop that it has in production."""
    progress: list[Progress] = []

    async def run() -> LoadResult:
        stop = asyncio.Event()

        def report(step: Progress) -> None:
            progress.append(step)
            if stop_when(step):
                stop.set()

        return await Replay(spec, out, api_key).run(report, stop)

    result = uvloop.run(run())
    return Driven(result, read_trace(out, "requests").to_pylist(), progress)
