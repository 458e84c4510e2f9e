"""How the process that runs candidates is started: under bubblewrap, or plainly where somebody insisted on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.grading.isolation.bundle import as_text
from analysis.grading.isolation.runtime import prepare_runtime, python_in, unprivileged_uid
from analysis.grading.isolation.seccomp import filter_program
from starwatt_errors import GradingError

_NOBODY = "65534"
_TMP_BYTES = 16 << 20
_INSIDE = ("analysis.grading.isolation.inner", "analysis.grading.isolation.process1")
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 (a tmpfs of the sandbox)
    "LANG": "C.UTF-8",
    "LD_LIBRARY_PATH": "/runtime/lib",
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # Large lists come and go: memory that is given back to the kernel each time has to be cleared each time.
    "MALLOC_MMAP_THRESHOLD_": str(256 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}


@dataclass(frozen=True)
class Launch:
    """A command, its environment, the uid that runs it (None: this one's), and descriptors that it needs."""

    command: list[str]
    environment: dict[str, str]
    uid: int | None
    passed: tuple[int, ...] = ()


#: Makes the launch of one worker's sandbox; gets the worker's number, the control socket of process 1, and what closes
#: descriptors when it has been started.
Launcher = Callable[[int, int, contextlib.ExitStack], Launch]


def bubblewrap(worker: int, control: int, passed: contextlib.ExitStack) -> Launch:
    """Return a sandbox. When root starts it, an unprivileged uid of this worker is taken before bubblewrap.

    Otherwise ``RLIMIT_NPROC`` would not hold, and root's files could be read where they are mounted. Raises
    ``GradingError`` where bubblewrap is missing.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise GradingError("bubblewrap (the command bwrap) is not installed")
    command = [bwrap, *_namespaces(), *_mounts(prepare_runtime()), "--clearenv"]
    refused = _filter(passed)
    if refused is not None:
        command += ["--seccomp", str(refused)]
    for name, value in _ENVIRONMENT.items():
        command += ["--setenv", name, value]
    python = [str(python_in(Path("/runtime"))), "-s", "-S", "-P", "-B"]
    return Launch(
        command=[*command, "--", *_inside(python, control, "/runtime/site")],
        environment={"PATH": os.environ.get("PATH", os.defpath)},
        uid=unprivileged_uid(worker),
        passed=() if refused is None else (refused,),
    )


def plain(_worker: int, control: int, _passed: contextlib.ExitStack) -> Launch:
    """Launch without a sandbox: candidates can read, write, send and kill whatever this user can."""
    python = [sys.executable, "-s", "-S", "-P", "-B"]
    site = str(Path(np.__file__).parents[1])
    environment = {**_ENVIRONMENT, "HOME": os.environ.get("HOME", "/"), "PATH": os.defpath}
    del environment["LD_LIBRARY_PATH"]
    return Launch(_inside(python, control, site), environment, uid=None)


def _inside(python: list[str], control: int, site: str) -> list[str]:
    return [*python, "-c", as_text(*_INSIDE), str(control), site]


def _filter(passed: contextlib.ExitStack) -> int | None:
    """Return a file that holds the system calls to refuse; None for a machine whose calls are not known."""
    program = filter_program()
    if program is None:
        return None
    file = os.memfd_create("seccomp")
    passed.callback(os.close, file)
    os.write(file, program)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _namespaces() -> list[str]:
    options = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    options += ["--as-pid-1", "--cap-drop", "ALL", "--uid", _NOBODY, "--gid", _NOBODY]
    return [*options, "--hostname", "sandbox"]


def _mounts(runtime: Path) -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib32", "lib64"):
        link = Path("/", name)
        if link.is_symlink():
            options += ["--symlink", str(link.readlink()), str(link)]
        elif link.is_dir():
            options += ["--ro-bind", str(link), str(link)]
    options += ["--ro-bind", str(runtime), "/runtime"]
    for device in ("/dev/null", "/dev/urandom"):
        options += ["--dev-bind", device, device]
    return [*options, "--size", str(_TMP_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/"]  # noqa: S108
