"""Small traces, written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays import Floats, Ints
from analysis.attribution.steps import Work, WorkCount
from analysis.energy.integral import PowerSeries
from analysis.energy.sensor import Sensors
from analysis.requests.columns import Requests, read_columns
from analysis.requests.window import Window
from configs.meters import Meters
from traces.schemas import REQUESTS

IDEAL = Sensors(
    {"d": {"power_w": {"update_s": 0.0, "window_s": 0.0, "lag_s": 0.0}, "energy_j": {"step_s": 0.0}}},
    Meters(),
)
"""Device ``d`` shows power as it is at that instant, and a counter that is exact."""
MS = 1_000_000
SECOND = 1_000_000_000


def request(identity: int, sent_ms: int, end_ms: int, **columns: Any) -> dict[str, Any]:
    """A measured request that ended well, with ten tokens at its end, unless ``columns`` says otherwise."""
    return {
        "request_id": identity,
        "task_id": f"T/{identity}",
        "sample": 0,
        "role": "measured",
        "scheduled_ns": sent_ms * MS,
        "sent_ns": sent_ms * MS,
        "first_token_ns": end_ms * MS,
        "end_ns": end_ms * MS,
        "chunk_ns": [end_ms * MS],
        "chunk_tokens": [10],
        "output_tokens": 10,
        "finish_reason": "stop",
        "status": "ok",
        **columns,
    }


def columns(*rows: dict[str, Any]) -> Requests:
    """Columns of these requests."""
    return read_columns(pa.Table.from_pylist(list(rows), schema=REQUESTS))


def work_of(requests: Requests, window: Window, stretches: int) -> Work:
    """Count the work of every request inside ``window``, in a pass of its own over all chunks."""
    count = WorkCount(requests, window, stretches)
    requests.chunks.show(count)
    return count.work


def series(
    power_w: Floats,
    *,
    source: str = "nvml",
    period_ms: int = 50,
    energy_j: Floats | None = None,
    start_ms: int = 0,
) -> PowerSeries:
    """Evenly spaced readings; without ``energy_j`` there is no counter."""
    t_ns: Ints = (start_ms + period_ms * np.arange(power_w.size, dtype=np.int64)) * MS
    has_power = np.isfinite(power_w)
    return PowerSeries(
        device="d",
        boundary="gpu",
        source=source,
        t_ns=t_ns,
        power_t_ns=t_ns[has_power],
        power_w=power_w[has_power],
        energy_t_ns=t_ns if energy_j is not None else t_ns[:0],
        energy_j=np.zeros(0) if energy_j is None else energy_j,
    )
