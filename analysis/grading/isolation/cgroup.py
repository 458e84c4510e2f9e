"""The processes of a sandbox, and a control group for them, where this machine lets us make one: memory in sum.

Resource limits hold for each process; a group holds for all of a candidate's together. Both versions of the kernel's
interface are spoken: version 1 with a hierarchy for each controller, and version 2, where a group beside our own is
made (one below our own may not be: ours has processes in it).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from starwatt_errors import GradingError, reason_of

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_GONE_S = 5.0
_numbers = itertools.count()
_FILES = {
    False: {
        "memory": "memory.limit_in_bytes",
        "pids": "pids.max",
        "events": "memory.oom_control",
        "usage": "cpuacct.usage",
    },
    True: {"memory": "memory.max", "pids": "pids.max", "events": "memory.events", "usage": "cpu.stat"},
}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ControlGroup:
    """The folders of one group: one (version 2), or one for each controller (version 1)."""

    folders: tuple[Path, ...]
    events: Path  # where the kernel counts what it killed for lack of memory
    usage: Path | None = None  # where it counts CPU time, if it does

    @classmethod
    def make(cls, memory_bytes: int, processes: int) -> ControlGroup:
        """Make a new, empty group with these limits; raises ``GradingError`` that says why it may not be made here."""
        name = f"starwatt-{os.getpid()}-{next(_numbers)}"
        parents = _parents()
        files = _FILES[_version_2()]
        group = cls(
            tuple(dict.fromkeys(parent / name for parent in parents.values())),
            parents["memory"] / name / files["events"],
            parents["cpuacct"] / name / files["usage"] if "cpuacct" in parents else None,
        )
        limits = {"memory": str(memory_bytes), "pids": str(processes)}
        try:
            for folder in group.folders:
                folder.mkdir()
            for controller, limit in limits.items():
                (parents[controller] / name / files[controller]).write_text(limit)
            with contextlib.suppress(OSError):  # there only where swap is accounted
                (parents["memory"] / name / "memory.swap.max").write_text("0")
        except OSError as error:
            group.remove()
            raise GradingError(
                f"no control group may be made in {parents['memory']}: {reason_of(error)}"
            ) from error
        return group

    def add(self, pid: int) -> None:
        """Move a process and all its descendants into the group; they must not fork meanwhile."""
        for member in tree(pid):
            for folder in self.folders:
                (folder / "cgroup.procs").write_text(str(member))

    def killed(self) -> int:
        """Count the processes that the kernel has killed because all together had too much memory."""
        for line in self.events.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
        return 0

    def cpu_s(self) -> float | None:
        """Return the CPU seconds of all its processes, dead ones too; None where the kernel does not count them."""
        if self.usage is None:
            return None
        text = self.usage.read_text()
        if text.startswith("usage_usec"):
            return int(text.split()[1]) / 1e6
        return int(text) / 1e9

    def remove(self) -> None:
        """Remove it as soon as its processes are gone; they must have been killed."""
        deadline = time.monotonic() + _GONE_S
        for folder in self.folders:
            while folder.is_dir():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.005)


def why_no_control_group() -> str | None:
    """Say what stands in the way of groups; None where they can be made."""
    try:
        ControlGroup.make(1 << 30, 16).remove()
    except GradingError as error:
        return str(error)
    return None


def _version_2() -> bool:
    return (_ROOT / "cgroup.controllers").is_file()


def _parents() -> dict[str, Path]:
    """The folder in which a group is made, for memory, for processes, and if there is one for counting CPU time."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError as error:
        raise GradingError(f"this machine has no control groups: {reason_of(error)}") from error
    our_group = {
        name: path for _, names, path in (line.split(":", 2) for line in lines) for name in names.split(",")
    }
    if not _version_2():
        if missing := {"memory", "pids"} - set(our_group):
            raise GradingError(f"no control group for {' and '.join(sorted(missing))} here")
        return {
            name: _ROOT / name / our_group[name].lstrip("/")
            for name in ("memory", "pids", "cpuacct")
            if name in our_group
        }
    parent = (_ROOT / our_group.get("", "/").lstrip("/")).parent
    control = parent / "cgroup.subtree_control"
    if parent == _ROOT.parent or not control.is_file():
        raise GradingError("this process is in the uppermost control group that it can see")
    if missing := {"memory", "pids"} - set(control.read_text().split()):
        raise GradingError(f"{parent} does not hand on the controllers {' and '.join(sorted(missing))}")
    return {"memory": parent, "pids": parent, "cpuacct": parent}


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
