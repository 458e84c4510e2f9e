"""Many cells at once, in a process for each CPU: reading them is work of Python, which threads would not share."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import pyarrow as pa

from analysis.cells.bearing import digest_of
from analysis.cells.context import Context
from analysis.cells.parts import PARTS
from analysis.cells.worker import LENGTH, parts_of_cells
from traces.layout import CellKey, RunDir

BATCH = 32
WORTH_PROCESSES = 200
"""Cells; of fewer the start of a process, which imports as much as we did, takes longer than it saves."""
MOST_PROCESSES = 16
"""Each takes a quarter of a gigabyte, and a container that may use two CPUs of a hundred is shown all of them."""
Progress = Callable[[int], None]
"""Is told how many cells more are done."""


def read_cells(run: RunDir, keys: Sequence[CellKey], context: Context, progress: Progress) -> pa.Table:
    """Read finished cells and make their parts of the tables (``PARTS``), in any order.

    Args:
        run: whose.
        keys: of cells that have a ``cell.json``.
        context: what of study and manifest bears on cells (``bearing_on_cells``).
        progress: called now and then, from several threads.
    """
    batches = [keys[at : at + BATCH] for at in range(0, len(keys), BATCH)]
    workers = min(len(os.sched_getaffinity(0)), len(batches), MOST_PROCESSES)
    if len(keys) < WORTH_PROCESSES or workers < 2:
        return pa.concat_tables([PARTS.empty_table(), *_here(run, batches, context, progress)])
    waiting: queue.SimpleQueue[Sequence[CellKey]] = queue.SimpleQueue()
    for batch in batches:
        waiting.put(batch)
    with ThreadPoolExecutor(workers) as threads:
        crew = [threads.submit(_elsewhere, run, waiting, context, progress) for _ in range(workers)]
        tables = [table for worker in crew for table in worker.result()]
    left = [waiting.get() for _ in range(waiting.qsize())]  # by processes that ended before their time
    return pa.concat_tables([PARTS.empty_table(), *tables, *_here(run, left, context, progress)])


def _here(
    run: RunDir, batches: Sequence[Sequence[CellKey]], context: Context, progress: Progress
) -> Iterator[pa.Table]:
    for batch in batches:
        yield parts_of_cells(run, batch, context)
        progress(len(batch))


def _elsewhere(
    run: RunDir, waiting: queue.SimpleQueue[Sequence[CellKey]], context: Context, progress: Progress
) -> list[pa.Table]:
    """Hand batches to a process of our own until none is left; what it had when it ended is left to others."""
    tables: list[pa.Table] = []
    with _process(run, digest_of(context)) as process:
        while True:
            try:
                batch = waiting.get_nowait()
            except queue.Empty:
                return tables
            table = _asked(process, batch)
            if table is None:
                waiting.put(batch)
                return tables
            tables.append(table)
            progress(len(batch))


@contextmanager
def _process(run: RunDir, terms: str) -> Iterator[subprocess.Popen[bytes]]:
    """End it in any case: with its stdin it ends by itself, and a killed runner takes that along."""
    # -P: the folder that we are in may have an ``analysis`` of its own
    command = [sys.executable, "-P", "-m", "analysis.cells.worker", str(run.root), terms]
    house = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (house, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def _asked(process: subprocess.Popen[bytes], keys: Sequence[CellKey]) -> pa.Table | None:
    """Return what it says of a batch; None where it has ended."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 -- pipes, as was asked for
    try:
        process.stdin.write(json.dumps([astuple(key) for key in keys]).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    head = process.stdout.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    size = LENGTH.unpack(head)[0]
    body = process.stdout.read(size)
    return pa.ipc.open_stream(body).read_all() if len(body) == size else None
