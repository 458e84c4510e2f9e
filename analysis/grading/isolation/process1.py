"""Process 1 of a sandbox: forks a child for each candidate, waits, kills what is left, and says how the child ended.

It reads no program, no input and no output of any candidate. Over one Unix socket, which it alone holds, jobs come in
(``{"wall_s"}`` with the two pipes of that run, later perhaps ``stop``), and ``ready`` or ``{"why", "status", "cpu_s",
"clean"}`` go out. ``clean`` is whether nothing of the candidate is left that the next one could meet: what a process of
the same user can change about this one, or about /tmp, is put back or compared with how it was.

Started by ``--unsafe-no-sandbox`` it is not process 1 of anything. It then ends the candidate's process group alone,
and empties no folder: the machine's processes and its /tmp are not its own.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import gc
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
from functools import partial
from typing import Any, NoReturn

from analysis.grading.isolation.inner import (
    CONTAINED,
    DEEPER,
    LIBC,
    PRELOADED,
    be_candidate,
    call_deeper,
    join_new_keyring,
)

TMP = "/tmp"  # noqa: S108 (a tmpfs of this sandbox alone)


class Orders:
    """Messages from outside; ``stop`` may still be on its way when a candidate has ended by itself."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)

    def job(self) -> tuple[dict[str, Any], list[int]]:
        """Return the next job and its two pipes; leaves the process when the other side has closed the socket."""
        while True:
            message, pipes, _, _ = socket.recv_fds(self.socket, 4096, 2, socket.MSG_CMSG_CLOEXEC)
            if not message:
                os._exit(0)
            if message != b"stop":
                return json.loads(message), pipes

    def stopped(self) -> bool:
        """Read what there is while a candidate runs: that can only be ``stop``, or the end."""
        if not self.socket.recv(4096):
            os._exit(0)
        return True

    def answer(self, content: dict[str, Any]) -> None:
        """Send one message to the outside."""
        self.socket.send(json.dumps(content).encode())


def leftovers() -> bool:
    """Say whether anything outlives a candidate although all its processes are dead: System V objects."""
    info = (ctypes.c_int * 64)()
    shm_info, msg_info, sem_info = 14, 12, 19
    if LIBC.shmctl(0, shm_info, info) < 0 or info[0] != 0:
        return True
    if LIBC.msgctl(0, msg_info, info) < 0 or info[0] != 0:
        return True
    return bool(LIBC.semctl(0, 0, sem_info, info) < 0 or info[7] != 0)


def own_state() -> list[Any]:
    """Read what a process of the same user can change about this one, by any call: compared after each run."""
    return [
        [resource.getrlimit(which) for which in range(16)],
        [
            signal.getitimer(which)
            for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
        ],
        os.sched_getaffinity(0),
        scheduling(),
        (os.getpgid(0), os.getsid(0)),
    ]


def scheduling() -> list[Any]:
    """Return this process's policy, flags, niceness, priority, bounds of utilisation and I/O priority."""
    numbers = {"x86_64": (315, 252), "aarch64": (275, 31)}.get(os.uname().machine)
    if numbers is None:
        return [os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)]
    sched_getattr, ioprio_get = numbers
    of_a_process = 1
    attributes = ctypes.create_string_buffer(64)
    LIBC.syscall(sched_getattr, 0, attributes, 64, 0)
    settled = attributes.raw[4:24] + attributes.raw[48:56]  # between them are times that the kernel may adapt
    return [settled, LIBC.syscall(ioprio_get, of_a_process, 0)]


def tmp_state() -> list[Any]:
    """Read what could be different about /tmp although it is empty."""
    status, room = os.stat(TMP), os.statvfs(TMP)  # noqa: PTH116
    flags = array.array("L", [0])
    fs_ioc_getflags = 0x80086601
    handle = os.open(TMP, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # kernels before 6.1 keep none for a tmpfs
            fcntl.ioctl(handle, fs_ioc_getflags, flags)
    finally:
        os.close(handle)
    return [
        status.st_mode,
        status.st_uid,
        status.st_gid,
        room.f_bfree,
        room.f_ffree,
        flags[0],
        os.listxattr(TMP),
    ]


def empty_tmp(mode: int) -> None:
    """Remove everything in /tmp and what was set on /tmp itself."""
    for name in os.listxattr(TMP):
        os.removexattr(TMP, name)
    os.chmod(TMP, mode & 0o7777)  # noqa: PTH101
    for entry in os.scandir(TMP):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)  # noqa: PTH108
    os.utime(TMP, (0, 0))


class Baseline:
    """Remember how this process and /tmp were before the first candidate."""

    def __init__(self) -> None:
        self.own = own_state()
        self.tmp = tmp_state() if CONTAINED else []

    def restored(self) -> bool:
        """Empty /tmp; whether all is as it was, and nothing of the candidate is left."""
        if not CONTAINED:
            return True
        try:
            empty_tmp(self.tmp[0])
            return (own_state(), tmp_state()) == (self.own, self.tmp) and not leftovers()
        except (OSError, RecursionError, MemoryError):
            return False


def end_all(pid: int, *, reaped: bool) -> None:
    """Kill all but process 1, at once: no fork escapes between two of them. Without a namespace: the child's group."""
    with contextlib.suppress(ProcessLookupError):
        if CONTAINED:
            os.kill(-1, signal.SIGKILL)
        elif not reaped:
            os.kill(pid, signal.SIGKILL)
            os.killpg(pid, signal.SIGKILL)


def supervise(pid: int, wall_s: float, control: Orders) -> dict[str, Any]:
    """Wait for the child, then kill and reap every other process of this namespace."""
    pidfd, told = os.pidfd_open(pid), control.socket.fileno()
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(told, select.POLLIN)
    ready = [fd for fd, _ in poller.poll(wall_s * 1000)]
    if pidfd in ready:
        why = "ended"
    elif ready and control.stopped():
        why = "stopped"
    else:
        why = "wall"
    os.close(pidfd)
    statuses: dict[int, int] = {}
    cpu_s = 0.0
    while True:
        end_all(pid, reaped=pid in statuses)
        try:
            dead, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        statuses[dead] = status
        cpu_s += usage.ru_utime + usage.ru_stime
    return {"why": why, "status": statuses[pid], "cpu_s": cpu_s}


def become_child(control: Orders, pipes: list[int]) -> NoReturn:
    """Become a candidate's process: in a session of its own, with a keyring of its own, and two pipes alone."""
    os.setsid()
    join_new_keyring()
    control.socket.close()
    try:
        call_deeper(DEEPER, partial(be_candidate, *pipes))
    finally:
        os._exit(0)


def main() -> NoReturn:
    """Run process 1."""
    control = Orders(int(sys.argv[1]))
    pr_set_dumpable = 4
    if LIBC.prctl(pr_set_dumpable, 0, 0, 0, 0) != 0:  # no ptrace and no memory access by children
        os._exit(3)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # unhandled signals from inside do not reach process 1
    join_new_keyring()
    sys.path.append(sys.argv[2])
    for name in PRELOADED:
        __import__(name)
    sys.modules["site"].setcopyright()  # three names of builtins that only site makes
    sys.modules["tempfile"].gettempdir()  # it is sought by deleting a file, which evalplus' guard forbids
    if CONTAINED:
        os.chdir(TMP)
    baseline = Baseline()
    gc.freeze()
    control.answer({"why": "ready"})
    while True:
        job, pipes = control.job()
        pid = os.fork()
        if pid == 0:
            become_child(control, pipes)
        for end in pipes:
            os.close(end)
        outcome = supervise(pid, job["wall_s"], control)
        control.answer({**outcome, "clean": baseline.restored()})
