"""Measure whether the generator itself kept up: its own lateness, its event loop's, and the CPU that it took."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from configs.loads import Load, Open
from traces.cell import Audit, Phase, Phases
from traces.clock import now_ns
from traces.pieces import Trace

_TICK_S = 0.05
Instants = npt.NDArray[np.int64]


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


class MeasuredTimes:
    """Keep the instants of measured requests, 32 bytes each: a load may have millions of them."""

    def __init__(self) -> None:
        self._ns = array("q")

    def add(self, *, scheduled_ns: int, due_ns: int, sent_ns: int, end_ns: int) -> None:
        """Keep one; ``due_ns``: scheduled, or when a capped load had a place for it."""
        self._ns.extend((scheduled_ns, due_ns, sent_ns, end_ns))

    @property
    def all_ns(self) -> Instants:
        """Return (n, 4) when each was scheduled, due, sent, and ended."""
        return np.array(self._ns, dtype=np.int64).reshape(-1, 4)


def measured_in(requests: Trace) -> Instants:
    """Read the instants of a trace's measured requests that were sent, (n, 4) as ``MeasuredTimes`` gives them.

    When a capped load had a place for each is not known.
    """
    instants = [np.zeros((0, 4), dtype=np.int64)]
    for piece in requests.pieces(["role", "scheduled_ns", "sent_ns", "end_ns"]):
        rows = piece.filter(pc.equal(piece.column("role"), "measured")).drop_columns("role").drop_null()
        scheduled, sent, ended = (column.to_numpy() for column in rows.columns)
        instants.append(np.column_stack((scheduled, scheduled, sent, ended)))
    return np.concatenate(instants)


def phases_of(start_ns: int, measured: Instants, end_ns: int) -> Phases:
    """Divide a load: warm-up from its start, the window of its measured requests (n, 4), drain until its end."""
    if not len(measured):
        return Phases(warmup=Phase(start_ns=start_ns, end_ns=end_ns))
    first_ns, last_ns = int(measured[:, 2].min()), int(measured[:, 3].max())
    return Phases(
        warmup=Phase(start_ns=min(start_ns, first_ns), end_ns=first_ns),
        window=Phase(start_ns=first_ns, end_ns=last_ns),
        drain=Phase(start_ns=last_ns, end_ns=max(last_ns, end_ns)),
    )


def audit_of(measured: Instants, phases: Phases, watch: LoopWatch, load: Load) -> Audit:
    """Say how the generator kept up with its measured requests.

    Args:
        measured: (n, 4) instants of each measured request that was sent.
        phases: of the load; rates are over its window.
        watch: what the event loop's own timer was late.
        load: an open one has an offered rate too.
    """
    shares: dict[str, Any] = {"cpu_share": watch.cpu_share, "loop_lag_max_ms": watch.late_max_ns * 1e-6}
    if not len(measured) or phases.window is None:
        return Audit(**shares)
    scheduled_ns, due_ns, sent_ns, _ = measured.T
    lag_ms = (sent_ns - due_ns) * 1e-6
    offered = achieved = None
    if isinstance(load, Open) and len(measured) > 1:
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


def _rate(instants_ns: npt.NDArray[np.int64]) -> float | None:
    """Requests a second from the first instant to the last."""
    span_s = float(instants_ns.max() - instants_ns.min()) * 1e-9
    return (len(instants_ns) - 1) / span_s if span_s > 0 else None
