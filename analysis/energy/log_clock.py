"""Find whether the clock of a wall meter's log was moved meanwhile: its lines then come late by another time."""

from __future__ import annotations

import numpy as np

from analysis.arrays import Floats, Ints

_PARTS, _LEAST_LINES = 6, 5
_SEEN_LATE_S = 0.2  # a line is read at most this long after it was written


def clock_step_s(t_ns: Ints, late_s: Floats) -> float:
    """Find by how many seconds the clock was seen to move; 0 where it kept still, or too few lines came to tell.

    A program may write its lines late, many at once, but the last of them is new. So in each part of a record the line
    that came least late tells the difference of the clocks, within the distance of two lines.

    Args:
        t_ns: (k,) the lines' own times on our clock, ascending.
        late_s: (k,) how long after that each was read, below 0 where its clock is ahead; 0: it stood there already.
    """
    live = late_s != 0
    if int(live.sum()) < _PARTS * _LEAST_LINES:
        return 0.0
    arrived = t_ns[live] * 1e-9 + late_s[live]
    order = np.argsort(arrived, kind="stable")
    least_s = [float(part.min()) for part in np.array_split(late_s[live][order], _PARTS)]
    apart_s = float(np.median(np.diff(np.sort(t_ns)))) * 1e-9
    moved_s = max(least_s) - min(least_s) - apart_s - _SEEN_LATE_S
    return moved_s if moved_s > 0 else 0.0
