"""How much memory can still be had here: the machine's, or what the limits of control groups leave of it.

A container or a job of a cluster has such a limit, and ``/proc/meminfo`` knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

_ROOT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_FILES = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
"""Limit and use, by version 2 and by version 1."""
_CACHES = ("total_inactive_file", "inactive_file")
"""Of ``memory.stat``: counted as used, and given back as soon as somebody wants it."""


def free_bytes(root: Path = _ROOT, groups_file: Path = _OWN) -> int:
    """Return the least that the machine and all groups around this process have left."""
    left = (_left(folder) for folder in _around(root, groups_file))
    return min([int(psutil.virtual_memory().available), *(room for room in left if room is not None)])


def _around(root: Path, groups_file: Path) -> Iterator[Path]:
    """Folders of this process's groups that count memory, up to the root; a container may show its own as the root."""
    try:
        lines = groups_file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        inside = top / path.strip("/")
        yield from (folder for folder in (inside, *inside.parents) if folder.is_relative_to(top))


def _left(folder: Path) -> int | None:
    """Bytes under the limit of one group; None where it has none."""
    for limit, used in _FILES:
        most, now = _number(folder / limit), _number(folder / used)
        if most is not None and now is not None:
            return max(most - now + _cached(folder / "memory.stat"), 0)
    return None


def _cached(stat: Path) -> int:
    try:
        fields = dict(line.split() for line in stat.read_text(encoding="ascii").splitlines())
        return int(next((fields[name] for name in _CACHES if name in fields), 0))
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # there is no such group, or no limit ("max")
        return None
