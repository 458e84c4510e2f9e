"""What a counter of the engine rose by in a window."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from analysis.arrays import floats, ints
from analysis.requests.window import Window


def rise_of(engine: pa.Table, name: str, window: Window) -> float | None:
    """Read it from the last reading before the window to the first after; None below two readings."""
    t_ns, _ = ints(engine, "t_ns")
    total = floats(engine, name)
    known = np.isfinite(total)
    t_ns, total = t_ns[known], total[known]
    if t_ns.size < 2:
        return None
    first = max(int(np.searchsorted(t_ns, window.start_ns, side="right")) - 1, 0)
    last = min(int(np.searchsorted(t_ns, window.end_ns, side="left")), t_ns.size - 1)
    return float(total[last] - total[first])
