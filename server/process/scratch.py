"""Temporary folders whose owner holds a lock on them: one without an owner is what a machine that fell left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "starwatt-"
_MAKING = ".starwatt-"
"""Until it is locked."""
_MARK = ".owner-holds-a-lock"
"""In every such folder: others may have given theirs a name like ours."""


@contextmanager
def owned_folder(kind: str) -> Iterator[Path]:
    """A new folder, removed at the end; those that nobody owns any more are removed first."""
    remove_ownerless()
    making = Path(tempfile.mkdtemp(prefix=_MAKING))
    folder = making.with_name(f"{PREFIX}{kind}-{making.name.removeprefix(_MAKING)}")
    descriptor = os.open(making, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (making / _MARK).touch()
        making.rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_ownerless() -> None:
    """Remove this user's folders whose owners have ended without doing it: a power failure spares nobody."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            if not ours or not (folder / _MARK).is_file():
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
