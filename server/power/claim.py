"""One recording a folder: a second one would write over the first."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from server.power.nvidia.exclusivity import named
from server.process.waiting import took_lock
from starwatt_errors import MeterError

_NO_LOCKS_HERE = frozenset({errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
"""File systems that lock no folders (NFS): there, a recording is known by its files alone."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which is made where it is missing, for one recording.

    The lock is the kernel's, on the folder itself: it ends with the process, and leaves no file.

    Raises:
        MeterError: another recording is under way there, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MeterError(f"{folder}: cannot be recorded into: {error.strerror}") from error
    try:
        _lock(folder, descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path, descriptor: int) -> None:
    try:
        if took_lock(descriptor):
            return
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise MeterError(f"{folder}: cannot be locked: {error.strerror}") from error
        return
    raise MeterError(
        f"{folder}: another recording is under way there{_holder(descriptor)}: take another folder, or wait "
        "until it has ended"
    )


def _holder(descriptor: int) -> str:
    """`` (process 4711 (python))``, where the kernel says."""
    inode = os.fstat(descriptor).st_ino
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
                return f" (process {named([int(fields[4])])})"
    return ""
