"""Tell a full disk from a failure of a cell: the study stops and says so, and no cell has failed."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starwatt_errors import RunError

_PROBE_BYTES = 256 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Make an error for a person of what the system says of a disk that takes nothing any more.

    Raises:
        RunError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise full(folder, error.strerror) from error


def full(folder: Path, said: str | None) -> RunError:
    """Return the error of a full disk."""
    return RunError(
        f"the disk of {folder} takes nothing any more ({said}): make room, and run the same command again to resume"
    )


def why_no_room(folder: Path) -> str | None:
    """Return what the system says when a quarter of a MiB is to be written to this disk; None where it takes it.

    Asked of the disk itself, for a quota stands in no number of free blocks.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror if error.errno in _FULL else None
    return None
