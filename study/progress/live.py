"""Read what a cell that is being measured does right now from its growing traces: no engine is asked twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from starwatt_errors import TraceError
from traces.clock import now_ns
from traces.streams import has_trace, read_trace

PERIOD_S = 1.0
_RECENT_NS = 5_000_000_000
_MOST_BYTES = 4 << 20  # reading more every second would take a core from what is measured


@dataclass(frozen=True)
class Snapshot:
    """Hold the last five seconds of a cell; None is what no trace tells."""

    running: float | None = None  # requests
    waiting: float | None = None  # requests
    tokens_per_s: float | None = None
    watts: dict[tuple[str, str, str], float] = field(default_factory=dict)  # by device, boundary, source
    lag_ms: float | None = None  # p99 of sent - scheduled, of the requests that ended
    celsius: dict[tuple[str, str, str], float] = field(default_factory=dict)  # as ``watts``

    @property
    def words(self) -> str:
        """Write it as a line for a terminal."""
        parts = [
            None if self.running is None else f"{self.running:.0f} in flight",
            None if not self.waiting else f"{self.waiting:.0f} waiting",
            None if self.tokens_per_s is None else f"{self.tokens_per_s:.0f} tokens/s",
            *self._watt_words(),
            None if self.lag_ms is None else f"lag {self.lag_ms:.1f} ms",
        ]
        return " · ".join(filter(None, parts))

    def _watt_words(self) -> list[str]:
        """Write one sum for each boundary and source; they are never added to each other."""
        sums: dict[tuple[str, str], float] = {}
        for (_, boundary, source), watts in self.watts.items():
            sums[boundary, source] = sums.get((boundary, source), 0.0) + watts
        return [
            f"{watts:.0f} W {boundary}{' (estimated)' if source == 'modelled' else ''}"
            for (boundary, source), watts in sums.items()
        ]


def look_at(folder: Path, at_ns: int | None = None) -> Snapshot:
    """Look at the cell in ``folder``; empty where nothing was written yet."""
    since_ns = (now_ns() if at_ns is None else at_ns) - _RECENT_NS
    engine, power, requests = (_recent(folder, name, since_ns) for name in ("engine", "power", "requests"))
    return Snapshot(
        running=_last(engine, "running"),
        waiting=_last(engine, "waiting"),
        tokens_per_s=_rate(engine, "generation_tokens_total"),
        watts=_newest(power, "power_w", "power_avg_w"),
        lag_ms=_lag_ms(requests),
        celsius=_newest(power, "temperature_c"),
    )


def _recent(folder: Path, name: str, since_ns: int) -> pa.Table | None:
    """Read the trace's rows since then; None where it is missing, cannot be read yet, or is long."""
    stream = folder / f"{name}.arrows"
    if not has_trace(folder, name) or (stream.is_file() and stream.stat().st_size > _MOST_BYTES):
        return None
    try:
        table = read_trace(folder, name)
    except (TraceError, OSError):  # it became Parquet between the two, or has no schema yet
        return None
    column = "end_ns" if name == "requests" else "t_ns"  # by when it was written: an answer may take a minute
    return table.filter(pa.compute.greater_equal(table[column], since_ns))


def _last(table: pa.Table | None, column: str) -> float | None:
    values = [] if table is None else table[column].drop_null().to_pylist()
    return float(values[-1]) if values else None


def _rate(table: pa.Table | None, column: str) -> float | None:
    known = None if table is None else table.filter(pa.compute.is_valid(table[column]))
    if known is None or known.num_rows < 2:
        return None
    values, times = known[column].to_numpy(), known["t_ns"].to_numpy()
    seconds = (times[-1] - times[0]) * 1e-9
    return float((values[-1] - values[0]) / seconds) if seconds > 0 else None


def _newest(table: pa.Table | None, *columns: str) -> dict[tuple[str, str, str], float]:
    """Return the newest reading of each device: the first of the columns that it fills."""
    newest: dict[tuple[str, str, str], float] = {}
    for row in [] if table is None else table.to_pylist():
        value = next((row[column] for column in columns if row[column] is not None), None)
        if value is not None:
            newest[row["device"], row["boundary"], row["source"]] = value
    return newest


def _lag_ms(table: pa.Table | None) -> float | None:
    if table is None or not table.num_rows:
        return None
    lags = pa.compute.subtract(table["sent_ns"], table["scheduled_ns"]).drop_null().to_numpy()
    return float(np.percentile(lags, 99)) * 1e-6 if lags.size else None


@contextmanager
def watching(folder: Path, *told: Callable[[Snapshot], None]) -> Iterator[None]:
    """Look at a cell once a second while the ``with`` block runs, and hand over what was seen."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(PERIOD_S):
            snapshot = look_at(folder)
            for tell in told:
                tell(snapshot)

    thread = threading.Thread(target=look, name="live-view", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
