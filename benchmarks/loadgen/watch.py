"""What a run costs and whether it was disturbed: the CPU time and memory of the processes below this one, and steal."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

_EVERY_S = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Watch:
    """Samples the CPU seconds of all descendants but ``without``, as a context manager."""

    def __init__(self, without: int) -> None:
        self._without = without
        self._samples: list[tuple[int, float]] = []
        self.memory_mb = 0.0
        self.steal = 0.0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._stolen = _stolen()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        before, after = self._stolen, _stolen()
        self.steal = (after[0] - before[0]) / max(after[1] - before[1], 1)

    def cpu_s(self, start_ns: int, end_ns: int) -> float:
        """CPU seconds between two instants of ``CLOCK_MONOTONIC``."""
        times, seconds = np.array([t for t, _ in self._samples]), [cpu for _, cpu in self._samples]
        at_start, at_end = np.interp([start_ns, end_ns], times, seconds)
        return float(at_end - at_start)

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            cpu_s, memory_mb = 0.0, 0.0
            for pid in _below(os.getpid()) - {self._without}:
                with contextlib.suppress(OSError):
                    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
                    cpu_s += (int(fields[11]) + int(fields[12])) / _TICKS
                    memory_mb += int(fields[21]) * _PAGE_MB
            self._samples.append((time.monotonic_ns(), cpu_s))
            self.memory_mb = max(self.memory_mb, memory_mb)


def _below(pid: int) -> set[int]:
    """All processes that descend from this one."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text(encoding="ascii").split()):
                found |= {child} | _below(child)
    return found


def _stolen() -> tuple[int, int]:
    """Ticks that the host took from this machine, and all ticks."""
    fields = [
        int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]
    ]
    return fields[7], sum(fields)
