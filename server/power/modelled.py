"""An estimate for machines without any power meter: CPU time of the engine's processes x watts.

It is no measurement, and every table and figure that rests on it says so: it knows neither frequency nor memory
nor how hard a CPU works while it works, only for how long.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

import psutil

from server.power.meter import Device, Reading
from starwatt_errors import MeterError
from traces.clock import now_ns

_LOOK_FOR_CHILDREN_NS = 500_000_000


def process_cpu_ns(pid: int) -> int:
    """Return CPU time of all threads a process has had, in nanoseconds (its CPU clock: clock_getcpuclockid(3)).

    Raises:
        OSError: no such process.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


class ModelledMeter:
    """CPU seconds of a process and all its descendants, times ``watts_per_cpu``."""

    def __init__(self, pid: int, watts_per_cpu: float) -> None:
        try:
            self._root = psutil.Process(pid)
        except (psutil.Error, ValueError, OverflowError) as error:
            raise MeterError(f"modelled power: there is no process {pid} that may be looked at") from error
        self._watts = watts_per_cpu
        note = f"an estimate: CPU time x {watts_per_cpu:g} W a CPU"
        self.devices = [Device("engine", "cpu", "modelled", note)]
        # By pid and start since boot, which no clock update moves.
        self._cpu_ns: dict[psutil.Process, int] = {}
        self._processes: list[psutil.Process] = []
        self._looked_ns: int | None = None
        self._last_ns = now_ns()
        self._last_cpu_ns = self._total_cpu_ns()
        self._first_cpu_ns = self._last_cpu_ns

    def read(self, *, slow: bool) -> list[Reading]:  # noqa: ARG002 -- all of it is cheap
        """Read the energy since the first reading, and the mean power since the last one."""
        before_ns = now_ns()
        total_ns, t_ns = self._total_cpu_ns(), now_ns()
        power_w = (total_ns - self._last_cpu_ns) / (t_ns - self._last_ns) * self._watts
        self._last_cpu_ns, self._last_ns = total_ns, t_ns
        return [
            Reading(
                self.devices[0],
                t_ns,
                t_ns - before_ns,
                power_w=power_w,
                energy_j=(total_ns - self._first_cpu_ns) * 1e-9 * self._watts,
            )
        ]

    def close(self) -> None:
        """Do nothing: nothing stays open between readings."""

    def _total_cpu_ns(self) -> int:
        """Sum the CPU time of all processes ever seen: what one had used by the last look stays in when it ends."""
        t_ns = now_ns()
        if self._looked_ns is None or t_ns - self._looked_ns > _LOOK_FOR_CHILDREN_NS:
            self._looked_ns = t_ns
            with contextlib.suppress(psutil.Error):
                processes = [self._root, *self._root.children(recursive=True)]
                # What measures is none of it.
                self._processes = [process for process in processes if process.pid != os.getpid()]
        for process in self._processes:
            with contextlib.suppress(OSError):
                self._cpu_ns[process] = process_cpu_ns(process.pid)
        return sum(self._cpu_ns.values())


class Beside:
    """CPU time, from now on, of engines that are loaded beside the one that is measured, and of their descendants."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._begun_ns = now_ns()
        self._used_ns = {pid: _cpu_ns(pid) for pid in pids}

    def cpu_share(self) -> float | None:
        """Return CPU seconds a second, of all together; None where there are none. What has ended counts no more."""
        if not self._pids:
            return None
        elapsed_ns = max(now_ns() - self._begun_ns, 1)
        return sum(max(_cpu_ns(pid) - used_ns, 0) for pid, used_ns in self._used_ns.items()) / elapsed_ns


def _cpu_ns(root: int) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(root)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(OSError):
                total += process_cpu_ns(member.pid)
    return total
