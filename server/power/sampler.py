"""Reads meters on an absolute schedule and writes what they say as it goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from server.power.meter import Meter, Reading
from server.power.nvidia.exclusivity import Occupancy, named
from starwatt_errors import MeterError
from traces.clock import now_ns
from traces.streams import TraceWriter

_OCCUPANCY_NS = 1_000_000_000
_READ = tuple(column.name for column in fields(Reading) if column.name != "device")
"""What a reading and a row of the trace both have."""


@dataclass(frozen=True)
class SamplerSummary:
    """Say how well the schedule was kept."""

    samples: int
    skipped: int
    """Scheduled instants that passed while an earlier reading was still under way."""
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    read_p50_ms: float
    """What one round of readings took."""
    read_p99_ms: float
    cpu_share: float
    """CPU time of this process over time while it sampled: without its start, and without writing Parquet."""


@dataclass(frozen=True)
class Schedule:
    """Say how often each kind of reading is taken."""

    hz: float
    slow_hz: float
    """The rate of what is read less often: a GPU's energy counter, temperature, clocks."""


class Sampler:
    """Samples until told to stop; a reading that takes too long makes the next ones skip.

    Readings are never squeezed together, which would make counters go stale.
    """

    def __init__(
        self,
        meters: list[Meter],
        schedule: Schedule,
        look: Callable[[], list[Occupancy]] | None = None,
        *,
        require_exclusive: bool = False,
    ) -> None:
        self._meters, self._schedule = meters, schedule
        self._look, self._require_exclusive = look, require_exclusive
        self._late_ns: list[int] = []
        self._read_ns: list[int] = []
        self._looked_ns: int | None = None

    def run(
        self, folder: Path, stop: threading.Event, begun: Callable[[], None] = lambda: None
    ) -> SamplerSummary:
        """Read all meters until ``stop`` is set, and once more then, into power.parquet (and occupancy.parquet).

        ``begun`` is called once the first reading has been taken.

        Raises:
            MeterError: a device was lost, or another's process is on a GPU that must be ours alone. What was read
                until then is kept.
        """
        period_ns, slow_ns = round(1e9 / self._schedule.hz), round(1e9 / self._schedule.slow_hz)
        tick, skipped = 0, 0
        with (
            TraceWriter(folder, "power") as writer,
            nullcontext() if self._look is None else TraceWriter(folder, "occupancy") as occupancies,
        ):
            start_ns, start_cpu_ns = now_ns(), time.process_time_ns()
            slow_due_ns = start_ns
            while True:
                stopping = stop.is_set()
                due_ns = start_ns + tick * period_ns
                begun_ns = now_ns()
                if not stopping:
                    self._late_ns.append(begun_ns - due_ns)
                slow = stopping or begun_ns >= slow_due_ns
                if slow:
                    slow_due_ns += ((begun_ns - slow_due_ns) // slow_ns + 1) * slow_ns
                for meter in self._meters:
                    for reading in meter.read(slow=slow):
                        writer.append(_row(reading))
                self._read_ns.append(now_ns() - begun_ns)
                if len(self._read_ns) == 1:
                    begun()
                if occupancies is not None:
                    occupancies.extend(look.row() for look in self._look_if_due())
                if stopping:
                    cpu_ns = time.process_time_ns() - start_cpu_ns
                    return self._summary(skipped, cpu_ns / max(now_ns() - start_ns, 1))
                next_tick = max(tick + 1, -((start_ns - now_ns()) // period_ns))
                skipped += next_tick - tick - 1
                tick = next_tick
                stop.wait(max(0, start_ns + tick * period_ns - now_ns()) * 1e-9)

    def _look_if_due(self) -> list[Occupancy]:
        t_ns = now_ns()
        if self._look is None or (self._looked_ns is not None and t_ns - self._looked_ns < _OCCUPANCY_NS):
            return []
        self._looked_ns = t_ns
        looks = self._look()
        for look in looks:
            if self._require_exclusive and look.metered and look.state == "shared":
                raise MeterError(
                    f"{look.device} is not ours alone: {named(look.foreign)} runs on it; end it, or measure elsewhere "
                    "(meters.require_exclusive asked to stop here)"
                )
        return looks

    def _summary(self, skipped: int, cpu_share: float) -> SamplerSummary:
        late = np.percentile(self._late_ns or [0], (50, 99, 100)) * 1e-6
        read = np.percentile(self._read_ns, (50, 99)) * 1e-6
        return SamplerSummary(
            samples=len(self._read_ns),
            skipped=skipped,
            late_p50_ms=float(late[0]),
            late_p99_ms=float(late[1]),
            late_max_ms=float(late[2]),
            read_p50_ms=float(read[0]),
            read_p99_ms=float(read[1]),
            cpu_share=cpu_share,
        )


def _row(reading: Reading) -> dict[str, object]:
    device = reading.device
    named = {"device": device.name, "boundary": device.boundary, "source": device.source}
    return {**named, **{name: getattr(reading, name) for name in _READ}}
