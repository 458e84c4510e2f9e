"""The one clock of a run: ``CLOCK_MONOTONIC`` of the machine that writes, in integer nanoseconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path


def now_ns() -> int:
    """Return CLOCK_MONOTONIC, in nanoseconds; comparable between processes of one boot of one machine."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@cache
def boot_id() -> str:
    """Name this boot of this machine: two files' times compare only where it is the same."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True)
class ClockPair:
    """The same instant on both clocks, in nanoseconds: places a monotonic time on the calendar."""

    monotonic_ns: int
    realtime_ns: int

    @classmethod
    def now(cls) -> ClockPair:
        """Read both, the monotonic clock before and after, and keep the middle."""
        before = now_ns()
        realtime = time.time_ns()
        return cls((before + now_ns()) // 2, realtime)
