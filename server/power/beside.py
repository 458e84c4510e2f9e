"""What engines take of the CPUs that are loaded beside the one that is measured, and are asked nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import psutil

from server.power.modelled import process_cpu_ns
from traces.clock import now_ns


class Beside:
    """CPU time of processes and their descendants, from now on."""

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
