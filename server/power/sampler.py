"""Reads meters on an absolute schedule and writes what they say as it goes."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from pathlib import Path

from server.power.meter import Meter, Reading
from traces.clock import now_ns
from traces.streams import TraceWriter


@dataclass(frozen=True)
class SamplerSummary:
    """How well the schedule was kept."""

    samples: int
    skipped: int
    """Scheduled instants that passed while an earlier reading was still under way."""
    late_max_ms: float


def sample(meters: list[Meter], folder: Path, hz: float, stop: threading.Event) -> SamplerSummary:
    """Read all meters ``hz`` times a second until ``stop`` is set, and once more then, into power.parquet.

    A reading that takes too long makes the next ones skip to the next free instant of the schedule: readings are
    never squeezed together, which would make counters go stale.

    Raises:
        MeterError: a device was lost. What was read until then is kept.
    """
    period_ns = round(1e9 / hz)
    tick, samples, skipped, late_max_ns = 0, 0, 0, 0
    with TraceWriter(folder, "power") as writer:
        start_ns = now_ns()
        while True:
            late_max_ns = (
                max(late_max_ns, now_ns() - (start_ns + tick * period_ns))
                if not stop.is_set()
                else late_max_ns
            )
            for meter in meters:
                _write_readings(writer, meter)
            samples += 1
            if stop.is_set():
                return SamplerSummary(samples, skipped, late_max_ns * 1e-6)
            next_tick = max(tick + 1, -((start_ns - now_ns()) // period_ns))
            skipped += next_tick - tick - 1
            tick = next_tick
            stop.wait(max(0, start_ns + tick * period_ns - now_ns()) * 1e-9)


def _write_readings(writer: TraceWriter, meter: Meter) -> None:
    """All devices of a meter carry the middle of its reading as their time."""
    before_ns = now_ns()
    readings = meter.read()
    after_ns = now_ns()
    for reading in readings:
        writer.append(_row(reading, (before_ns + after_ns) // 2, after_ns - before_ns))


def _row(reading: Reading, t_ns: int, read_ns: int) -> dict[str, object]:
    fields = {field.name: getattr(reading, field.name) for field in dataclasses.fields(reading)}
    device = fields.pop("device")
    return {
        "t_ns": t_ns,
        "device": device.name,
        "boundary": device.boundary,
        "source": device.source,
        **fields,
        "read_ns": read_ns,
    }
