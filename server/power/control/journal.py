"""What boards were before a study set them: written down first, outside of the run, until they are so again.

``$XDG_STATE_HOME/starwatt/boards/`` (``~/.local/state/starwatt/boards/``) has two files a board: ``UUID.json`` while
it may not be as it was found, and ``UUID.lock``, on which whoever sets it holds a lock of the kernel. A ``UUID.json``
whose lock nobody holds was left behind.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from server.power.control.board import ControlError
from server.process.waiting import took_lock, wait_until
from starwatt_errors import RunError, TraceError
from traces.atomic import read_json, write_json
from traces.clock import boot_id
from traces.record import Record, wrong_field

_QUESTION_S = 1.0
"""Somebody may just be asking who holds a board, or putting it back, which takes the lock for an instant."""


class Found(Record):
    """One board as it was found, and what it has been set to since."""

    uuid: str
    name: str
    node: str
    """The machine, for people: a home folder may be that of several."""
    boot_id: str
    """Of the machine: after a restart boards are as their driver makes them."""
    run: str
    """Whose study set it."""
    since: str
    limit_w: float | None = None
    """Its power limit; None: it tells none, and none is set."""
    set_w: tuple[float, ...] = ()
    """Limits that it was set to, or was about to be."""
    locked: bool = False
    """Whether its clock was locked, or was about to be."""

    @property
    def of_this_boot(self) -> bool:
        """Say whether the machine has not been restarted since."""
        return self.boot_id == boot_id()

    @property
    def words(self) -> str:
        """Say what it was, and what was done to it."""
        done = [f"{watts:g} W" for watts in self.set_w[-1:]] + ["a locked clock"] * self.locked
        before = "" if self.limit_w is None else f", and was at {self.limit_w:g} W before"
        return f"{self.name} ({self.uuid}) was set to {' and '.join(done) or 'nothing'} by {self.run}{before}"


def folder() -> Path:
    """Say where it is written down."""
    named = os.environ.get("XDG_STATE_HOME", "")
    home = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return home / "starwatt" / "boards"


def study_of(run: Path) -> str:
    """Name who sets a board: the study of a run directory."""
    return f"the study of {run.resolve()} "


def path_of(uuid: str) -> Path:
    """Name the file of a board."""
    return folder() / f"{uuid}.json"


def note(as_found: Found) -> None:
    """Write it down, on the disk before this returns.

    Raises:
        TraceError: it cannot be written: then nothing may be set.
    """
    write_json(path_of(as_found.uuid), as_found.model_dump(mode="json"))


def forget(uuid: str) -> None:
    """Remove the note of a board that is as it was found."""
    path_of(uuid).unlink(missing_ok=True)


def read(uuid: str) -> Found | None:
    """Read what is written of a board; None where nothing is.

    Raises:
        ControlError: it cannot be read.
    """
    path = path_of(uuid)
    if not path.exists():
        return None
    try:
        return Found.model_validate(read_json(path))
    except (TraceError, ValidationError) as error:
        why = str(error) if isinstance(error, TraceError) else f"{path}: {wrong_field(error)}"
        raise ControlError(
            f"{why}; it says what {uuid} was before a study set it: put the board back by hand (nvidia-smi -i {uuid} "
            f"-pl WATTS; nvidia-smi -i {uuid} -rgc), then delete the file"
        ) from error


def noted() -> list[str]:
    """List the boards of which something is written, by UUID."""
    return sorted(path.stem for path in folder().glob("*.json"))


@contextmanager
def held(uuid: str, by: str) -> Iterator[None]:
    """Hold a board, so that nobody else sets it; the kernel lets go when this process ends, however it does.

    Raises:
        RunError: somebody else holds it.
        TraceError: the lock cannot be made.
    """
    descriptor = -1
    try:
        try:
            folder().mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder() / f"{uuid}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            _take(uuid, descriptor, by)
        except OSError as error:
            words = f"what boards were before cannot be kept there: {error.strerror}"
            raise TraceError(f"{folder()}: {words}; XDG_STATE_HOME names another folder") from error
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def why_in_use(uuid: str) -> str | None:
    """Say who sets a board just now; None where nobody does."""
    try:
        descriptor = os.open(folder() / f"{uuid}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nobody ever set it, or not below a folder that is ours to look into
        return None
    try:  # shared: NFS gives no other lock on a file that is open for reading
        taken = wait_until(lambda: took_lock(descriptor, shared=True), _QUESTION_S, poll_s=0.02)
        return None if taken else _in_use(uuid, descriptor)
    except OSError:  # a file system without locks: nobody holds one
        return None
    finally:
        os.close(descriptor)


def _take(uuid: str, descriptor: int, by: str) -> None:
    """Take the lock, and write down who has; raises RunError where somebody else has."""
    if not wait_until(lambda: took_lock(descriptor), _QUESTION_S, poll_s=0.02):
        raise RunError(_in_use(uuid, descriptor))
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{by} (process {os.getpid()} on {platform.node()})\n".encode(), 0)


def _in_use(uuid: str, descriptor: int) -> str:
    holder = os.pread(descriptor, 1000, 0).decode(errors="replace").strip() or "another process"
    return (
        f"board {uuid} is set by {holder}: two studies cannot share it; wait until that has ended, or end it"
    )
