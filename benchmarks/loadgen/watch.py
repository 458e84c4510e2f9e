"""What a run costs and whether it was disturbed: CPU time and memory of the processes below this one, steal, others."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

_EVERY_S = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True)
class _Sample:
    """At one instant; CPU times in seconds since boot or since the processes began."""

    t_ns: int
    client_s: float
    ours_s: float
    """Client, server and this process."""
    stolen_s: float
    worked_s: float
    """By all processes of the machine."""
    memory_mb: float


class Watch:
    """Samples all descendants of this process, the server's apart, as a context manager."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._samples: list[_Sample] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def memory_mb(self) -> float:
        """The most that was resident at once."""
        return max(sample.memory_mb for sample in self._samples)

    def cpu_s(self, start_ns: int, end_ns: int) -> float:
        """CPU seconds of the client between two instants of ``CLOCK_MONOTONIC``."""
        return self._grown([sample.client_s for sample in self._samples], start_ns, end_ns)

    def steal(self, start_ns: int, end_ns: int) -> float:
        """The share of this machine's time that its host took."""
        stolen_s = self._grown([sample.stolen_s for sample in self._samples], start_ns, end_ns)
        return stolen_s / ((end_ns - start_ns) * 1e-9 * (os.cpu_count() or 1))

    def others(self, start_ns: int, end_ns: int) -> float:
        """CPUs that processes took which are none of ours."""
        worked_s = self._grown(
            [sample.worked_s - sample.ours_s for sample in self._samples], start_ns, end_ns
        )
        return max(worked_s / ((end_ns - start_ns) * 1e-9), 0.0)

    def _grown(self, values: list[float], start_ns: int, end_ns: int) -> float:
        at_start, at_end = np.interp([start_ns, end_ns], [sample.t_ns for sample in self._samples], values)
        return float(at_end - at_start)

    def _watch(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # it shares the server's CPU
        while not self._over.wait(_EVERY_S):
            client_s, memory_mb = 0.0, 0.0
            for pid in _below(os.getpid()) - {self._server}:
                used_s, used_mb = _used(pid)
                client_s, memory_mb = client_s + used_s, memory_mb + used_mb
            ours_s = client_s + _used(self._server)[0] + _used(os.getpid())[0]
            user, nice, system, *_, stolen = _machine()
            worked_s = (user + nice + system) / _TICKS
            self._samples.append(
                _Sample(time.monotonic_ns(), client_s, ours_s, stolen / _TICKS, worked_s, memory_mb)
            )


def _used(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MB of a process; none once it is gone."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE_MB
    return 0.0, 0.0


def _below(pid: int) -> set[int]:
    """All processes that descend from this one."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text(encoding="ascii").split()):
                found |= {child} | _below(child)
    return found


def _machine() -> list[int]:
    """Ticks of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal."""
    return [
        int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]
    ]
