"""Hold a run directory: it is one study's, and one runner's at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from configs.differences import differences
from configs.loader import dump_study, load_study
from configs.schema import Study
from server.process.guard import GUARD
from server.process.scratch import remove_ownerless
from server.process.waiting import took_lock
from starwatt_errors import RunError, UsageError
from study.progress.display import tell
from study.records.sessions import refuse_other_variants
from traces.atomic import is_temporary, write_text
from traces.layout import RunDir

_MOST_SHOWN = 12
_MORE_BLOCKS = " More blocks are added to those that are measured with --blocks N."
_LEAVING_S = 60.0
_POLL_S = 0.05


@contextmanager
def locked(
    run: RunDir, study: Study, study_file: Path, *, here: bool = True, grow: bool = False
) -> Iterator[None]:
    """Hold a run directory for this study and this process; makes it where it is not there.

    The kernel gives the lock back when this process has ended, however it did, and all that it started: a runner that
    was killed leaves its engine to the reaper, and until that has gone the next one waits. What a kill left of
    files that were being written is removed, and what a fallen machine left of engines' temporary files; not unless all
    is measured ``here``, for a job of a cluster may be writing them. A study that may ``grow`` replaces one that has
    fewer blocks, and nothing else that is not as here.

    Raises:
        RunError: another runner holds it.
        UsageError: it belongs to another study, or holds something else.
    """
    check_folder(run, study, study_file, grow=grow)
    descriptor = _open_and_lock(run, "measured")
    try:
        GUARD.keep(descriptor)
        check_folder(run, study, study_file, grow=grow)
        if not run.study.is_file() or (grow and load_study(run.study) != study):
            write_text(run.study, dump_study(study))
        if here:
            remove_left_overs(run.root)
            remove_ownerless()
        yield
    finally:
        GUARD.release(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # the reaper has it open too
        os.close(descriptor)


@contextmanager
def held(run: RunDir, done: str) -> Iterator[None]:
    """Hold a run directory for this process alone, which writes into it at once and starts nothing.

    A folder that was not there, and that nothing was written into, is gone afterwards.

    Raises:
        RunError: another process holds it; ``done``: what is being done to it, such as ``imported into``.
        UsageError: the folder cannot be made.
    """
    if not run.root.is_dir():
        _check_writable(run.root)
    was_there = run.root.exists()
    descriptor = _open_and_lock(run, done)
    try:
        yield
    finally:
        if not was_there and not _holds_something_else(run):
            run.lock.unlink()
            run.root.rmdir()
        os.close(descriptor)


def _open_and_lock(run: RunDir, done: str) -> int:
    """Open the lock's file with the lock taken, and make sure that it is still the one by that name."""
    while True:
        run.root.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # who made the folder has just removed it
            descriptor = os.open(run.lock, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(run, descriptor, done)
                if os.path.samestat(os.fstat(descriptor), run.lock.stat()):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _lock(run: RunDir, descriptor: int, done: str) -> None:
    """Take the lock, and write down who has it; ``done``: what is being done to the run."""
    deadline = time.monotonic() + _LEAVING_S
    told = False
    while not took_lock(descriptor):
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
        if not _is_leaving(holder) or time.monotonic() > deadline:
            raise RunError(f"{run.root} is being {done} by {holder}: wait until it has ended, or end it")
        if not told:
            tell(f"{holder} was killed; waiting until what it had started has ended")
            told = True
        time.sleep(_POLL_S)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)


def _is_leaving(holder: str) -> bool:
    """Say whether a runner of this machine has ended, and what it started has not."""
    words = holder.split()
    ours = len(words) == 4 and words[1].isdigit() and words[3] == platform.node()
    return ours and not _runs(int(words[1]))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def remove_left_overs(root: Path) -> None:
    """Remove what writers left under their temporary names (``traces/atomic.py``) when they were killed."""
    for folder, _, files in os.walk(root):
        for name in files:
            if is_temporary(name):
                (Path(folder) / name).unlink(missing_ok=True)


def _check_writable(folder: Path) -> None:
    """Raise UsageError where a missing folder cannot be made."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(
            f"{folder} cannot be made: {place} takes no new folder; choose another place with --out"
        )


def _holds_something_else(run: RunDir) -> bool:
    return any(path != run.lock for path in run.root.iterdir())


def check_folder(run: RunDir, study: Study, study_file: Path, *, grow: bool = False) -> None:
    """Check that a folder may hold this very study, or with ``grow`` holds it with fewer blocks; write nothing.

    Raises:
        UsageError: it belongs to another study, was begun with other variants of the same names, holds something else,
            or cannot be made.
    """
    if run.root.exists() and not run.root.is_dir():
        raise UsageError(f"--out {run.root} is no folder; choose another with --out")
    if not run.study.is_file():
        if run.root.exists() and _holds_something_else(run):
            raise UsageError(f"{run.root} is not empty and holds no study; choose another folder with --out")
        _check_writable(run.root)
        return
    there = load_study(run.study)
    if there == study:
        refuse_other_variants(run, study)
        return
    only_blocks = there.model_copy(update={"blocks": study.blocks}) == study
    if grow and only_blocks:
        _check_growth(run, there, study)
        refuse_other_variants(run, study)
        return
    changed = differences(there.model_dump(mode="json"), study.model_dump(mode="json"))
    shown = "\n".join(f"  {line}" for line in changed[:_MOST_SHOWN])
    more = f"\n  and {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else ""
    raise UsageError(
        f"{run.root} holds another study than {study_file}:\n{shown}{more}\n"
        "Cells of two studies can't be mixed: take the change back, give the study another name, "
        f"or --out another folder.{_MORE_BLOCKS if only_blocks else ''}"
    )


def _check_growth(run: RunDir, there: Study, study: Study) -> None:
    """Raises UsageError where blocks would be taken away, or would need engines that were to be started once."""
    if study.blocks < there.blocks:
        raise UsageError(f"--blocks {study.blocks}: {run.root} has {there.blocks}; takes as many, or more")
    if there.engine_restarts == "once" and study.blocks > there.blocks:
        raise UsageError(
            f"--blocks {study.blocks}: all blocks of {run.root} are of one engine start (engine_restarts: once), "
            "and others would be of a second one: --out another folder"
        )
