"""Measure whether the generator itself kept up: its own lateness, its event loop's, and the CPU that it took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.loads import Load, Open
from traces.cell import Audit, Phase, Phases
from traces.clock import now_ns

_TICK_S = 0.05


class LoopWatch:
    """Measures how late the event loop's own timer fires, and the process's CPU time."""

    def __init__(self) -> None:
        self.late_max_ns = 0
        self.cpu_share = 0.0

    async def __aenter__(self) -> Self:
        self._started_s, self._cpu_s = time.monotonic(), time.process_time()
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        elapsed_s = max(time.monotonic() - self._started_s, 1e-9)
        self.cpu_share = (time.process_time() - self._cpu_s) / elapsed_s

    async def _watch(self) -> None:
        while True:
            due_ns = now_ns() + round(_TICK_S * 1e9)
            await asyncio.sleep(_TICK_S)
            self.late_max_ns = max(self.late_max_ns, now_ns() - due_ns)


class Measured(NamedTuple):
    """The instants of one measured request. ``due_ns``: scheduled, or when a capped load had a place for it."""

    scheduled_ns: int
    due_ns: int
    sent_ns: int
    end_ns: int


def measured_in(requests: pa.Table) -> list[Measured]:
    """Read the measured requests of a trace; when a capped load had a place for each is not known."""
    rows = requests.filter(pc.equal(requests.column("role"), "measured"))
    times = (rows.column(name).to_pylist() for name in ("scheduled_ns", "sent_ns", "end_ns"))
    return [
        Measured(scheduled, scheduled, sent, ended) for scheduled, sent, ended in zip(*times, strict=True)
    ]


def phases_of(start_ns: int, measured: Sequence[Measured], end_ns: int) -> Phases:
    """Divide a load: warm-up from its start, the window of its measured requests, drain until its end."""
    if not measured:
        return Phases(warmup=Phase(start_ns=start_ns, end_ns=end_ns))
    first_ns = min(request.sent_ns for request in measured)
    last_ns = max(request.end_ns for request in measured)
    return Phases(
        warmup=Phase(start_ns=min(start_ns, first_ns), end_ns=first_ns),
        window=Phase(start_ns=first_ns, end_ns=last_ns),
        drain=Phase(start_ns=last_ns, end_ns=max(last_ns, end_ns)),
    )


def audit_of(measured: Sequence[Measured], phases: Phases, watch: LoopWatch, load: Load) -> Audit:
    """Say how the generator kept up with its measured requests.

    Args:
        measured: instants of each measured request that was sent.
        phases: of the load; rates are over its window.
        watch: what the event loop's own timer was late.
        load: an open one has an offered rate too.
    """
    shares: dict[str, Any] = {"cpu_share": watch.cpu_share, "loop_lag_max_ms": watch.late_max_ns * 1e-6}
    if not measured or phases.window is None:
        return Audit(**shares)
    times = np.array(measured, dtype=np.int64)
    scheduled_ns, due_ns, sent_ns, _ = times.T
    lag_ms = (sent_ns - due_ns) * 1e-6
    offered = achieved = None
    if isinstance(load, Open) and len(times) > 1:
        offered = _rate(scheduled_ns)
        achieved = _rate(sent_ns)
    return Audit(
        lag_p50_ms=float(np.percentile(lag_ms, 50)),
        lag_p99_ms=float(np.percentile(lag_ms, 99)),
        lag_max_ms=float(lag_ms.max()),
        offered_rate=offered,
        achieved_rate=achieved,
        **shares,
    )


def _rate(instants_ns: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float | None:
    """Requests a second from the first instant to the last."""
    span_s = float(instants_ns.max() - instants_ns.min()) * 1e-9
    return (len(instants_ns) - 1) / span_s if span_s > 0 else None
