"""Traces of any size: requests that overlap at random, and a board's power beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from traces.atomic import write_parquet
from traces.schemas import POWER, REQUESTS
from traces.streams import stamped

CHUNKS = 64
IN_FLIGHT = 64  # on average
GAP_NS = 8_000_000
SECOND = 1_000_000_000


def write_traces(folder: Path, requests: int, readings: int, seed: int = 1) -> None:
    """``requests.parquet`` and ``power.parquet``: an open load whose length grows with its requests."""
    rng = np.random.default_rng(seed)
    life_ns = CHUNKS * GAP_NS
    sent = np.sort(rng.integers(0, max(requests * life_ns // IN_FLIGHT, life_ns), requests)) + 1000 * SECOND
    gaps = rng.integers(GAP_NS // 2, GAP_NS * 3 // 2, (requests, CHUNKS))
    chunks = sent[:, None] + np.cumsum(gaps, axis=1)
    offsets = pa.array(np.arange(0, requests * CHUNKS + 1, CHUNKS, dtype=np.int32))
    end = chunks[:, -1] + 100_000
    given = {
        "request_id": np.arange(requests),
        "task_id": pa.DictionaryArray.from_arrays(
            pa.array(rng.integers(0, 164, requests), pa.int32()), pa.array([f"T/{n}" for n in range(164)])
        ).cast(pa.string()),
        "sample": np.zeros(requests, dtype=np.int32),
        "role": pa.repeat(pa.scalar("measured"), requests),
        "scheduled_ns": sent,
        "sent_ns": sent,
        "first_token_ns": chunks[:, 0],
        "end_ns": end,
        "chunk_ns": pa.ListArray.from_arrays(offsets, pa.array(chunks.ravel())),
        "chunk_tokens": pa.ListArray.from_arrays(
            offsets, pa.repeat(pa.scalar(1, pa.int32()), requests * CHUNKS)
        ),
        "prompt_tokens": rng.integers(20, 1500, requests).astype(np.int32),
        "output_tokens": np.full(requests, CHUNKS, dtype=np.int32),
        "finish_reason": pa.repeat(pa.scalar("length"), requests),
        "status": pa.repeat(pa.scalar("ok"), requests),
    }
    _write(folder / "requests.parquet", REQUESTS, given, requests)
    del chunks, gaps
    t_ns = np.linspace(int(sent[0]) - SECOND, int(end.max()) + SECOND, readings).astype(np.int64)
    power = rng.normal(350.0, 40.0, readings)
    energy = np.concatenate(([0.0], np.cumsum(power[1:] * np.diff(t_ns) / 1e9)))
    board = {
        "t_ns": t_ns,
        "device": pa.repeat(pa.scalar("GPU-0"), readings),
        "boundary": pa.repeat(pa.scalar("gpu"), readings),
        "source": pa.repeat(pa.scalar("nvml"), readings),
        "power_w": power,
        "energy_j": energy,
    }
    _write(folder / "power.parquet", POWER, board, readings)


def _write(path: Path, schema: pa.Schema, given: dict[str, object], rows: int) -> None:
    columns = [
        pa.array(given[field.name], field.type)
        if isinstance(given.get(field.name), np.ndarray)
        else given.get(field.name, pa.nulls(rows, field.type))
        for field in schema
    ]
    write_parquet(path, pa.table(columns, schema=stamped(schema)))
