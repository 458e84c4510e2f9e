"""Traces of any size, written by row groups: requests that overlap at random, and a board's power beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from traces.atomic import write_groups
from traces.schemas import POWER, REQUESTS
from traces.streams import GROUP_ROWS, stamped

CHUNKS = 64
IN_FLIGHT = 64  # on average
GAP_NS = 8_000_000
SECOND = 1_000_000_000
LIFE_NS = CHUNKS * GAP_NS
TASKS = pa.array([f"T/{n}" for n in range(164)])

Ints = npt.NDArray[np.int64]


def write_traces(folder: Path, requests: int, readings: int, seed: int = 1, group: int = GROUP_ROWS) -> None:
    """``requests.parquet`` and ``power.parquet``: an open load whose length grows with its requests."""
    rng = np.random.default_rng(seed)
    lasts_ns = max(requests * LIFE_NS // IN_FLIGHT, LIFE_NS)
    sent = np.sort(rng.integers(0, lasts_ns, requests)) + 1000 * SECOND
    schema = stamped(REQUESTS)
    groups = (
        _requests(rng, first, sent[first : first + group], schema) for first in range(0, requests, group)
    )
    write_groups(folder / "requests.parquet", schema, groups)
    end_ns = 1000 * SECOND + lasts_ns + 2 * LIFE_NS
    write_groups(
        folder / "power.parquet",
        stamped(POWER),
        _power(rng, int(sent[0]) - SECOND, end_ns + SECOND, readings),
    )


def _requests(rng: np.random.Generator, first: int, sent: Ints, schema: pa.Schema) -> pa.Table:
    count = sent.size
    gaps = rng.integers(GAP_NS // 2, GAP_NS * 3 // 2, (count, CHUNKS))
    chunks = sent[:, None] + np.cumsum(gaps, axis=1)
    offsets = pa.array(np.arange(0, count * CHUNKS + 1, CHUNKS, dtype=np.int32))
    ones = pa.repeat(pa.scalar(1, pa.int32()), count * CHUNKS)
    tasks = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, len(TASKS), count), pa.int32()), TASKS)
    given = {
        "request_id": np.arange(first, first + count),
        "task_id": tasks.cast(pa.string()),
        "sample": np.zeros(count, dtype=np.int32),
        "role": pa.repeat(pa.scalar("measured"), count),
        "scheduled_ns": sent,
        "sent_ns": sent,
        "first_token_ns": chunks[:, 0],
        "end_ns": chunks[:, -1] + 100_000,
        "chunk_ns": pa.ListArray.from_arrays(offsets, pa.array(chunks.ravel())),
        "chunk_tokens": pa.ListArray.from_arrays(offsets, ones),
        "prompt_tokens": rng.integers(20, 1500, count).astype(np.int32),
        "output_tokens": np.full(count, CHUNKS, dtype=np.int32),
        "finish_reason": pa.repeat(pa.scalar("length"), count),
        "status": pa.repeat(pa.scalar("ok"), count),
    }
    return _table(schema, given, count)


def _power(rng: np.random.Generator, start_ns: int, end_ns: int, readings: int) -> Iterator[pa.Table]:
    schema, step_ns, used_j = stamped(POWER), (end_ns - start_ns) / (readings - 1), 0.0
    for first in range(0, readings, GROUP_ROWS):
        count = min(GROUP_ROWS, readings - first)
        power = rng.normal(350.0, 40.0, count)
        energy = used_j + np.cumsum(power) * step_ns / 1e9
        used_j = float(energy[-1])
        board = {
            "t_ns": start_ns + (np.arange(first, first + count) * step_ns).astype(np.int64),
            "device": pa.repeat(pa.scalar("GPU-0"), count),
            "boundary": pa.repeat(pa.scalar("gpu"), count),
            "source": pa.repeat(pa.scalar("nvml"), count),
            "power_w": power,
            "energy_j": energy,
        }
        yield _table(schema, board, count)


def _table(schema: pa.Schema, given: dict[str, object], rows: int) -> pa.Table:
    columns = [
        pa.array(given[field.name], field.type)
        if isinstance(given.get(field.name), np.ndarray)
        else given.get(field.name, pa.nulls(rows, field.type))
        for field in schema
    ]
    return pa.table(columns, schema=schema)
