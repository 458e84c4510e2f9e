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
_LONGEST = 44
"""Bytes of a folder in which a server's sockets still fit: Unix takes a path of 107, and our name and zmq's take 62."""
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 -- mkdtemp makes the folder, for this user alone


@contextmanager
def owned_folder(kind: str, *, sockets: bool = False) -> Iterator[Path]:
    """Give a new folder, removed at the end; those that nobody owns any more are removed first.

    With ``sockets`` its path is short enough for those of a server, whatever TMPDIR says.
    """
    remove_ownerless()
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=_for_sockets() if sockets else None))
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
    roots = {Path(tempfile.gettempdir()), _for_sockets()}
    for folder in (path for root in roots for path in root.glob(f"{PREFIX}*-*")):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if not ours or not (folder / _MARK).is_file():
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _for_sockets() -> Path:
    """TMPDIR where sockets fit into it, else the first folder for temporary files where they do."""
    wanted = Path(tempfile.gettempdir())
    if len(os.fsencode(wanted)) <= _LONGEST:
        return wanted
    return next((Path(short) for short in _SHORT if os.access(short, os.W_OK | os.X_OK)), wanted)
