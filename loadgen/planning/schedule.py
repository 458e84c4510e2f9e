"""Work out what a load is going to ask before its first request: ``schedule.parquet``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from configs.datasets import Task
from configs.loads import Open
from loadgen.planning.agenda import Agenda, Asked, Item, asked_by
from loadgen.planning.arrivals import Arrivals
from loadgen.planning.dither import PassStarts
from loadgen.planning.prompts import passes
from loadgen.planning.recorded import RecordedRequest
from loadgen.spec import LoadSpec, Passes
from traces.atomic import write_parquet
from traces.schemas import SCHEDULE
from traces.streams import stamped

_LONGEST = 100_000
"""Requests that are written at most; later ones are drawn by the same rule while the load runs."""


def planned(spec: LoadSpec) -> Iterator[tuple[int | None, Item]]:
    """Yield (offset in ns from the load's start, request) up to the last measured one, in order.

    Open loads: warm-up and measured requests. Others send when a place falls free, so that their offsets are None
    and how many are warm-up depends on the server: only what is measured is planned. Where its number depends on the
    server too, the passes that are measured at least.
    """
    tasks = asked_by(spec)
    if isinstance(spec.load, Open):
        yield from _on_schedule(spec, tasks)
        return
    measured: Iterator[tuple[int, Task | RecordedRequest]] = passes(
        tasks, spec.seed, spec.block, spec.load.slug, "measured"
    )
    for sample, task in islice(measured, _known_ahead(spec, len(tasks))):
        yield None, Item(task, sample, "measured")


def write_schedule(spec: LoadSpec, out: Path) -> None:
    """Write ``out/schedule.parquet``: its first 100 000 requests where there are more.

    Raises:
        UsageError: the trace file of the arrivals cannot be read.
    """
    rows = list(islice(planned(spec), _LONGEST))
    starts = None if isinstance(spec.load, Open) else PassStarts.of(spec)
    columns = {
        "position": list(range(len(rows))),
        "task_id": [item.task.task_id for _, item in rows],
        "sample": [item.sample for _, item in rows],
        "role": [item.role for _, item in rows],
        "due_ns": [due_ns for due_ns, _ in rows],
        **asked_lengths([item for _, item in rows]),
        "pass_phase_ns": [starts.phase_ns(item.sample) if starts else None for _, item in rows],
    }
    write_parquet(out / "schedule.parquet", pa.table(columns, schema=stamped(SCHEDULE)))


def _on_schedule(spec: LoadSpec, tasks: Asked) -> Iterator[tuple[int | None, Item]]:
    agenda = Agenda(spec, tasks)
    for offset_ns in Arrivals.of(spec).offsets_ns():
        item = agenda.next(offset_ns)
        if item is None or item.role == "filler":
            return
        yield offset_ns, item


def asked_lengths(items: Sequence[Item]) -> dict[str, list[int | None]]:
    """Return columns of the lengths that requests were to have; null where a data set's tasks are asked."""
    lengths = [item.task.lengths if isinstance(item.task, RecordedRequest) else None for item in items]
    return {
        "asked_prompt_tokens": [None if length is None else length.prompt_tokens for length in lengths],
        "asked_output_tokens": [None if length is None else length.output_tokens for length in lengths],
    }


def _known_ahead(spec: LoadSpec, tasks: int) -> int:
    amount = spec.amount
    if amount.kind == "requests":
        return amount.requests
    return tasks * (amount.measure.passes if isinstance(amount, Passes) else 1)
