"""A bubblewrap sandbox that runs one candidate after the other, each in a process tree of its own.

The outside never trusts what comes back: results are frames of JSON with a size limit, and what they mean is
decided by the caller. See ``docs/sandbox.md``.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.grading.runtime import prepare_runtime, python_in
from starwatt_errors import GradingError

_FIRST_UID = 61184  # of the range that systemd keeps for dynamic users: nobody's files belong to them
_NOBODY = "65534"
_START_LIMIT_S = 60.0
_GRACE_S = 20.0
_TMP_BYTES = 16 << 20
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 (a tmpfs of the sandbox)
    "LANG": "C.UTF-8",
    "LD_LIBRARY_PATH": "/runtime/lib",
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Limits:
    """What one candidate may use. ``memory_bytes`` and ``cpu_s`` hold for each of its processes."""

    memory_bytes: int = 2 << 30
    processes: int = 8
    file_bytes: int = 8 << 20
    wall_factor: float = 10.0


@dataclass(frozen=True)
class Job:
    """A program, the function to call, its arguments with the CPU seconds that each call may take, and how much all
    results together may be."""

    code: str
    entry_point: str
    inputs: tuple[list[Any], ...]
    cpu_limits_s: tuple[float, ...]
    output_bytes: int = 32 << 20

    @property
    def cpu_s(self) -> int:
        """CPU seconds of the whole run, as evalplus bounds it: the sum of the calls' limits, at most 60 s."""
        return int(min(60.0, sum(self.cpu_limits_s))) + 2


@dataclass(frozen=True)
class Outcome:
    """How a candidate's process ended: ``ended`` by itself, ``stopped`` by the caller, at the ``wall`` limit, over the
    ``output`` limit; ``signal`` is 0 if none ended it."""

    why: str
    signal: int


class SandboxDiedError(Exception):
    """Process 1 of a sandbox is gone while a candidate ran."""


class Sandbox:
    """One bubblewrap process tree. Used by one thread; ``kill`` may be called from any."""

    def __init__(self, *, worker: int = 0, limits: Limits | None = None, runtime: Path | None = None) -> None:
        """Start it and wait until it is ready; raises ``GradingError`` with bubblewrap's own words if it is not."""
        self.limits = limits or Limits()
        self._command_user = _user(worker)
        self._runtime = runtime or prepare_runtime()
        self._files = contextlib.ExitStack()
        self._unread = b""
        self._process: subprocess.Popen[bytes] | None = None
        self.closed = False
        try:
            self._start()
            self._await_ready()
        except BaseException:  # an interrupt too: whatever goes wrong here must leave no sandbox behind
            self.close()
            raise

    def _start(self) -> None:
        with contextlib.ExitStack() as theirs:
            requests_in, self._requests = self._pipe(theirs, ours=1)
            self._results, results_out = self._pipe(theirs, ours=0)
            control_in, self._control = self._pipe(theirs, ours=1)
            self._answers, answers_out = self._pipe(theirs, ours=0)
            self._errors, errors_out = self._pipe(theirs, ours=0)
            self._process = subprocess.Popen(
                _bwrap_command(self._runtime, control_in, answers_out),
                stdin=requests_in,
                stdout=results_out,
                stderr=errors_out,
                pass_fds=(control_in, answers_out),
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
                start_new_session=True,
                **self._command_user,
            )
        for fd in (self._requests, self._results, self._answers, self._errors):
            os.set_blocking(fd, False)

    def _pipe(self, theirs: contextlib.ExitStack, *, ours: int) -> tuple[int, int]:
        ends = os.pipe()
        self._files.callback(os.close, ends[ours])
        theirs.callback(os.close, ends[1 - ours])
        return ends

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        try:
            answer = self._answer(deadline)
        except SandboxDiedError:
            answer = None
        if answer is None or answer.get("why") != "ready":
            raise GradingError(f"the sandbox does not start: {self._last_words() or 'no message'}")

    def _last_words(self) -> str:
        with contextlib.suppress(BlockingIOError):
            return os.read(self._errors, 65536).decode(errors="replace").strip()[-500:]
        return ""

    def run(self, job: Job, on_frame: Callable[[dict[str, Any], int], bool]) -> Outcome:
        """Run one candidate and hand over its frames, each with its size, while ``on_frame`` returns True.

        Raises ``SandboxDiedError`` when the sandbox is gone before the candidate was done. ``on_frame`` may raise
        ``ValueError`` for a frame that nobody honest sends: it ends the run, and is passed on. Where the candidate
        left something behind that the next one could meet, the sandbox is ``closed`` afterwards.
        """
        wall_s = self.limits.wall_factor * (1 + job.cpu_s / 3)
        request = json.dumps(
            {
                "code": job.code,
                "entry_point": job.entry_point,
                "inputs": job.inputs,
                "cpu_limits_s": job.cpu_limits_s,
                "wall_factor": self.limits.wall_factor,
                "limits": {
                    "memory_bytes": self.limits.memory_bytes,
                    "processes": self.limits.processes,
                    "file_bytes": self.limits.file_bytes,
                    "cpu_s": job.cpu_s,
                },
            }
        ).encode()
        return _Run(self, on_frame, job.output_bytes).drive(struct.pack(">I", len(request)) + request, wall_s)

    def kill(self) -> None:
        """Kill everything inside, from any thread: a run in progress raises ``SandboxDiedError``."""
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=_GRACE_S)

    def close(self) -> None:
        """Kill everything inside and give the pipes back. Safe to call twice."""
        self.closed = True
        self.kill()
        self._files.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, deadline: float) -> dict[str, Any] | None:
        """The next line of process 1, or None at the deadline."""
        while b"\n" not in self._unread:
            with selectors.DefaultSelector() as selector:
                selector.register(self._answers, selectors.EVENT_READ)
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
            self._read_answers()
        return self._next_answer()

    def _read_answers(self) -> None:
        data = os.read(self._answers, 65536)
        if not data:
            raise SandboxDiedError
        self._unread += data

    def _next_answer(self) -> dict[str, Any] | None:
        line, found, rest = self._unread.partition(b"\n")
        if not found:
            return None
        self._unread = rest
        return dict(json.loads(line))


class _Run:
    """The traffic of one candidate: its request in, its frames out, until process 1 says that it is over."""

    def __init__(
        self, sandbox: Sandbox, on_frame: Callable[[dict[str, Any], int], bool], output_bytes: int
    ) -> None:
        self._box = sandbox
        self._on_frame = on_frame
        self._buffer = bytearray()
        self._received = 0
        self._output_bytes = output_bytes
        self._over: str | None = None  # why the rest of the frames is not wanted
        self._error: ValueError | None = None

    def drive(self, request: bytes, wall_s: float) -> Outcome:
        box = self._box
        _write_all(box._control, json.dumps({"wall_s": wall_s}).encode() + b"\n")
        answer = self._exchange(memoryview(request), time.monotonic() + wall_s + _GRACE_S)
        if answer is None:
            raise SandboxDiedError
        if self._over is None:
            self._read_results()  # what the dead left in the pipe
        while self._over is not None and _read_available(box._results):
            pass
        if not answer["clean"]:
            box.close()
        if self._error is not None:
            raise self._error
        status = int(answer["status"])
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome(why=self._over or str(answer["why"]), signal=ended_by)

    def _exchange(self, request: memoryview, deadline: float) -> dict[str, Any] | None:
        box = self._box
        with selectors.DefaultSelector() as selector:
            selector.register(box._requests, selectors.EVENT_WRITE)
            selector.register(box._results, selectors.EVENT_READ)
            selector.register(box._answers, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                ready = {key.fd for key, _ in selector.select(deadline - time.monotonic())}
                if box._requests in ready:
                    request = request[_write_available(box._requests, request) :]
                    if not request:
                        selector.unregister(box._requests)
                if box._results in ready:
                    self._read_results()
                if box._answers in ready:
                    box._read_answers()
                    if answer := box._next_answer():
                        return answer
        return None

    def _read_results(self) -> None:
        while data := _read_available(self._box._results):
            self._received += len(data)
            if self._over is not None:
                continue
            self._buffer += data
            try:
                wanted = all(self._on_frame(frame, size) for frame, size in self._frames())
            except (ValueError, RecursionError) as error:
                self._error = ValueError(f"a result that no honest run sends: {error}")
                wanted = False
            if self._received > self._output_bytes:
                self._stop("output")
            elif not wanted:
                self._stop("stopped")

    def _frames(self) -> Iterator[tuple[dict[str, Any], int]]:
        start = 0
        while len(self._buffer) - start >= 4:
            (size,) = struct.unpack_from(">I", self._buffer, start)
            if len(self._buffer) - start - 4 < size:
                break
            frame = json.loads(self._buffer[start + 4 : start + 4 + size])
            start += 4 + size
            if type(frame) is not dict:
                raise ValueError("not an object")
            yield frame, size
        del self._buffer[:start]

    def _stop(self, why: str) -> None:
        self._over = why
        self._buffer.clear()
        _write_all(self._box._control, b"stop\n")


def _bwrap_command(runtime: Path, control_in: int, answers_out: int) -> list[str]:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise GradingError("bubblewrap (the command bwrap) is not installed")
    command = [
        bwrap,
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
    ]
    command += [
        "--as-pid-1",
        "--cap-drop",
        "ALL",
        "--uid",
        _NOBODY,
        "--gid",
        _NOBODY,
        "--hostname",
        "sandbox",
    ]
    command += ["--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib32", "lib64"):
        link = Path("/", name)
        if link.is_symlink():
            command += ["--symlink", str(link.readlink()), str(link)]
        elif link.is_dir():
            command += ["--ro-bind", str(link), str(link)]
    command += ["--ro-bind", str(runtime), "/runtime"]
    for device in ("/dev/null", "/dev/urandom"):
        command += ["--dev-bind", device, device]
    command += ["--size", str(_TMP_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/", "--clearenv"]  # noqa: S108
    for name, value in _ENVIRONMENT.items():
        command += ["--setenv", name, value]
    inner = Path(__file__).with_name("inner.py").read_text(encoding="utf-8")
    python = [str(python_in(Path("/runtime"))), "-s", "-S", "-P", "-B", "-c", inner]
    return [*command, "--", *python, str(control_in), str(answers_out)]


def _user(worker: int) -> dict[str, Any]:
    """Who starts bubblewrap: not root, or ``RLIMIT_NPROC`` would not hold and root's files could be read."""
    if os.geteuid() != 0:
        return {}
    uid = _FIRST_UID + worker
    return {"user": uid, "group": uid, "extra_groups": []}


def _read_available(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 18)
    except BlockingIOError:
        return b""


def _write_available(fd: int, data: memoryview) -> int:
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        raise SandboxDiedError from None


def _write_all(fd: int, data: bytes) -> None:
    """A short line into a pipe that process 1 reads between two candidates."""
    try:
        os.write(fd, data)
    except BrokenPipeError:
        raise SandboxDiedError from None
