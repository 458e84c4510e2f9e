"""Child processes that never outlive their parent and never keep a group behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from server.process.guard import GUARD
from server.process.waiting import wait_until

_PR_SET_PDEATHSIG = 1
_BOARDS_BY_BUS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Else CUDA puts the fastest board first, and a number means another board to an engine than to its meter."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def spawn(
    command: Sequence[str],
    *,
    stdout: int | IO[bytes],
    stdin: int = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    cpus: Sequence[int] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; when this process dies, however it does, the whole session is ended.

    The kernel tells the command itself (SIGTERM), and the reaper sees to it that nothing of the session stays.
    CUDA counts boards in it as NVML does.

    Args:
        command: the program and its arguments; no shell reads them.
        stdout: where its output goes, as for ``subprocess.Popen``; so ``stdin`` and ``stderr``.
        environment: in place of this process's own.
        cpus: what it and everything it starts are pinned to.
        cwd: the folder that it starts in.
    """
    process = subprocess.Popen(
        list(command),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**(os.environ if environment is None else environment), **_BOARDS_BY_BUS},
        cwd=cwd,
        start_new_session=True,
        preexec_fn=_before_exec(cpus, GUARD.announcing()),  # noqa: PLW1509 -- three system calls, no Python lock
    )
    GUARD.watch(process.pid)
    return process


def stop_group(process: subprocess.Popen[bytes], *, grace_s: float) -> None:
    """End a child and its whole process group: SIGTERM, then SIGKILL after ``grace_s`` seconds."""
    if process.poll() is None:
        process.terminate()
        process.send_signal(signal.SIGCONT)  # a stopped process hears nothing else
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace_s)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _wait_for_the_group(process.pid, grace_s)
    GUARD.forget(process.pid)


def stop_children(*, grace_s: float) -> None:
    """End every child that is left, with its group: the last thing a command does.

    An interrupt can strike between the start of a child and the ``with`` block that would have stopped it.
    """
    children = [child for child in psutil.Process().children() if child.pid != GUARD.pid]
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    psutil.wait_procs(children, timeout=grace_s)
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # a child that shares our group leads none of this number
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=grace_s)
    for child in children:
        _wait_for_the_group(child.pid, grace_s)
    GUARD.close()


def group_alive(group: int) -> bool:
    """Say whether a process of this group still runs (a zombie does not)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                return True
    return False


def last_lines(path: Path, count: int) -> str:
    """Return the last lines of a log, indented, for an error message."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join(f"  {line}" for line in lines[-count:]) or "  (it printed nothing)"


def _wait_for_the_group(group: int, grace_s: float) -> None:
    wait_until(lambda: not group_alive(group), grace_s, poll_s=0.02)


def _before_exec(cpus: Sequence[int] | None, announce: Callable[[], None]) -> Callable[[], None]:
    def prepare() -> None:
        announce()
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if cpus is not None:
            os.sched_setaffinity(0, cpus)

    return prepare
