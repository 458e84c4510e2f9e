"""Prove, before any candidate runs, that the sandbox starts here and that its limits hold."""

from __future__ import annotations

import json
import platform
import shutil
import signal
from dataclasses import replace

from analysis.grading.isolation.cgroup import why_no_control_group
from analysis.grading.isolation.namespaces import explained
from analysis.grading.isolation.sandbox import Job, Limits, Sandbox, SandboxDiedError
from analysis.grading.isolation.seccomp import filter_program
from analysis.grading.isolation.traffic import Frame
from analysis.grading.types import SandboxStatus
from analysis.grading.values import decode
from starwatt_errors import GradingError, reason_of

# Runs inside. Every entry of what it returns must be True.
_PROBE = """
import ctypes, fcntl, io, posix as os, signal, socket, time
open = io.open

def refused(action):
    try:
        action()
    except (OSError, MemoryError):
        return True
    return False

def write(path, size=1):
    with open(path, "wb") as file:
        file.write(b"x" * size)

def fork_too_often(limit):
    for _ in range(limit):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)

def lock(path):
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_SH)

def probe(memory_bytes, processes, tmp_bytes, filtered):
    libc = ctypes.CDLL(None, use_errno=True)
    new_user_namespace, attach = 0x10000000, 16
    os.kill(1, signal.SIGKILL)
    return {
        "the network is cut off": refused(lambda: socket.socket(socket.AF_INET)) if filtered else (
            [name for _, name in socket.if_nameindex()] == ["lo"]),
        "locks and watches are refused": not filtered or (
            refused(lambda: lock("/runtime/complete")) and libc.inotify_init1(0) < 0),
        "it is an ordinary user": os.getuid() == os.geteuid() == 65534 and refused(lambda: os.setuid(0)),
        "no new user namespaces": libc.unshare(new_user_namespace) != 0,
        "process 1 cannot be traced": libc.ptrace(attach, 1, 0, 0) != 0,
        "no files of this machine but /usr": not set(os.listdir("/")) - set(
            ("usr", "lib", "lib32", "lib64", "runtime", "tmp", "dev")),
        "nothing can be written but /tmp": all(
            refused(lambda: write(path + "/written")) for path in ("", "/usr", "/runtime", "/dev")),
        "files are limited": refused(lambda: write("/tmp/large", 2 * tmp_bytes)),
        "memory is limited": refused(lambda: bytearray(memory_bytes)),
        "processes are limited": refused(lambda: fork_too_often(2 * processes)),
    }
"""
_PAGE = "see docs/sandbox.md"
_SPIN = "def spin():\n    while True:\n        pass\n"


def sandbox_status() -> SandboxStatus:
    """Start a sandbox and try its limits. Never raises for a machine that cannot do it: it says why, and what helps."""
    if shutil.which("bwrap") is None:
        return SandboxStatus(
            False, "bubblewrap (the command bwrap) is not installed", "apt-get install bubblewrap"
        )
    try:
        broken = _broken_promises()
    except GradingError as error:
        return SandboxStatus(False, *_explained(str(error)))
    except OSError as error:
        return SandboxStatus(False, f"the sandbox cannot be started: {reason_of(error)}", _PAGE)
    except (SandboxDiedError, ValueError) as error:
        return SandboxStatus(False, f"the sandbox does not survive its own test: {error!r}", _PAGE)
    if broken:
        return SandboxStatus(False, f"the sandbox does not hold: {'; '.join(broken)}", _PAGE)
    no_group = why_no_control_group()
    in_sum = (
        "memory and processes are limited in sum" if no_group is None else f"not limited in sum ({no_group})"
    )
    if filter_program() is None:
        in_sum += f"; system calls are not filtered ({platform.machine()} is not known here)"
    return SandboxStatus(True, "", "", note=in_sum)


def _broken_promises() -> list[str]:
    limits = Limits()
    frames: list[Frame] = []

    def take(frame: Frame) -> bool:
        frames.append(frame)
        return True

    # On a machine so busy that a tenth of a second takes long, the CPU limit must still be the one that strikes.
    with Sandbox(limits=replace(limits, wall_factor=200.0)) as sandbox:
        filtered = filter_program() is not None
        arguments = [limits.memory_bytes, limits.processes, limits.file_bytes, filtered]
        sandbox.run(Job(_PROBE, "probe", json.dumps([arguments]).encode(), (10.0,)), take)
        spinning = sandbox.run(Job(_SPIN, "spin", b"[[]]", (0.1,)), take)
    if len(frames) != 1 or not frames[0].is_value:
        return [f"the probe failed: {frames}"[:500]]
    findings = decode(frames[0].content)
    broken = [promise for promise, kept in findings.items() if kept is not True]
    if spinning.signal != signal.SIGPROF:
        broken.append("CPU time is limited")
    return broken


def _explained(message: str) -> tuple[str, str]:
    """Say what went wrong, with what is behind it, and what helps."""
    if "nknown option" in message:
        return message, "install bubblewrap 0.8 or newer"
    if "the sandbox's Python" in message:
        return message, "make these folders readable and writable for the user who grades"
    if any(words in message for words in ("namespace", "uid map", "not permitted", "Permission denied")):
        return explained(message)
    return message, _PAGE
