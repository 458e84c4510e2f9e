"""A process and all that descend from it, as ``/proc`` shows them."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return the process and its descendants, parents first; those that end meanwhile are left out."""
    pids = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                pids += tree(int(child))
    except OSError:  # it has just ended
        pass
    return pids


def cpu_s_of_tree(pid: int) -> float:
    """Return the CPU seconds of them all, and of their children that were waited for.

    A child that nobody waits for, since its parent ignores the ends of children, is counted as long as it runs.
    """
    return sum(map(_cpu_s, tree(pid)))


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    of_itself_and_its_children = slice(11, 15)
    return sum(map(int, fields[of_itself_and_its_children])) / _TICKS_PER_S
