"""Check what went on at the boards while a cell was measured: who else ran there, and whether clocks were held down."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import floats, ints
from analysis.requests.window import Window
from analysis.validity.reasons import Check
from traces.board import BoardHeld

HELD_DOWN = 0x8 | 0x20 | 0x40 | 0x80  # NVML: hardware slowdown, software and hardware thermal, power brake
THROTTLED_BOUND = 0.01
CLIENT_BOUND = 0.05
NOT_HELD_BOUND = 0.01
SAME_LIMIT_W, _CLOCK_STEP_MHZ = 1.0, 15.0
BEFORE_NS = 2_000_000_000  # "before a window": what ran this shortly before it may still be ending


def occupancy_checks(occupancy: pa.Table | None, window: Window, boards: Collection[str]) -> list[Check]:
    """Check ``gpu_shared``, where another's process was seen; ``exclusivity_unknown``, a note, where none could be.

    ``boards`` are those that were metered; where none was, those of which nobody noted the power.
    """
    if occupancy is None:
        return []
    t_ns, _ = ints(occupancy, "t_ns")
    near = (t_ns >= window.start_ns - BEFORE_NS) & (t_ns <= window.end_ns)
    near &= np.array([_counts(row, boards) for row in occupancy.to_pylist()], dtype=np.bool_)
    states = np.asarray(occupancy.column("state").to_pylist(), dtype=object)[near]
    if not states.size:
        return []
    shared, unknown = (float(np.mean(states == state)) for state in ("shared", "unknown"))
    return [
        Check("gpu_shared", shared > 0, shared, "share of looks", hi=0.0),
        Check("exclusivity_unknown", False, unknown, "share of looks", noted=unknown > 0),
    ]


def _counts(row: Mapping[str, Any], boards: Collection[str]) -> bool:
    return row["device"] in boards if boards else row.get("power_w") is None


def throttle_checks(power: pa.Table | None, window: Window) -> list[Check]:
    """Check ``throttled``: heat or the power supply held clocks down. A power cap that is reached is work as usual."""
    if power is None:
        return []
    t_ns, _ = ints(power, "t_ns")
    masks, known = ints(power, "throttle")
    masks = masks[known & (t_ns >= window.start_ns) & (t_ns <= window.end_ns)]
    if not masks.size:
        return []
    share = float(np.mean((masks & HELD_DOWN) != 0))
    return [Check("throttled", share > THROTTLED_BOUND, share, "share of readings", hi=THROTTLED_BOUND)]


def board_checks(held: BoardHeld | None, power: pa.Table | None) -> list[Check]:
    """Check ``board_not_held``: a board was at another limit than was set, above the clock that was, or showed none.

    Boards that are set beside, for an engine that takes more of them, are not metered in this cell.
    """
    if held is None or power is None:
        return []
    metered = held.boards.keys() & set(power.column("device").to_pylist()) or held.boards.keys()
    shares = []
    for device in sorted(metered):
        board, rows = held.boards[device], power.filter(pc.equal(power.column("device"), device))
        if board.power_limit_w is not None:
            shares.append(_share(rows, "power_limit_w", board.power_limit_w, below=False))
        if board.locked_mhz is not None:
            shares.append(_share(rows, "sm_clock_mhz", float(board.locked_mhz), below=True))
    known = [share for share in shares if share is not None]
    worst = max(known, default=None)
    failed = len(known) < len(shares) or (worst or 0.0) > NOT_HELD_BOUND
    return [Check("board_not_held", failed, worst, "share of readings", hi=NOT_HELD_BOUND)] if shares else []


def _share(rows: pa.Table, column: str, held: float, *, below: bool) -> float | None:
    """Return the share of readings that are not as held; None without a reading."""
    values = floats(rows, column)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    off = values > held + _CLOCK_STEP_MHZ if below else np.abs(values - held) > SAME_LIMIT_W
    return float(np.mean(off))


def client_check(shares: list[float | None], cpus: int | None) -> Check | None:
    """Check how much of the CPUs load generator and sidecar took: it is in what a CPU's meter reads."""
    known = [share for share in shares if share is not None]
    if not known:
        return None
    share = sum(known) / (cpus or 1)
    return Check("client_cpu", False, share, "share of CPUs", hi=CLIENT_BOUND, noted=share > CLIENT_BOUND)


def residents_checks(share: float | None, cpus: int | None) -> list[Check]:
    """Note ``residents_busy``: engines that were loaded beside the measured one took of its CPUs."""
    if share is None:
        return []
    share /= cpus or 1
    noted = share > CLIENT_BOUND
    return [Check("residents_busy", False, share, "share of CPUs", hi=CLIENT_BOUND, noted=noted)]
