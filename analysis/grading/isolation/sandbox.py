"""A bubblewrap sandbox that runs one candidate after the other, each in a process tree of its own.

The outside never trusts what comes back: results are frames of JSON with a size limit, and what they mean is
decided by the caller. See ``docs/sandbox.md``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass

from analysis.grading.isolation.cgroup import ControlGroup, cpu_s_of_tree
from analysis.grading.isolation.channel import Control, SandboxDiedError
from analysis.grading.isolation.clock import CallClock
from analysis.grading.isolation.launch import Launcher, bubblewrap
from analysis.grading.isolation.traffic import Conversation, OnBytes, OnFrame
from starwatt_errors import GradingError

__all__ = ["Job", "Limits", "Outcome", "Sandbox", "SandboxDiedError"]

_START_LIMIT_S = 60.0
_GRACE_S = 20.0
_OWN_PROCESSES = 4  # bubblewrap, process 1, and room


@dataclass(frozen=True)
class Limits:
    """Bound what one candidate may use. ``memory_bytes`` and ``cpu_s`` hold for each of its processes, and
    ``all_memory_bytes`` for all together where control groups can be made."""

    memory_bytes: int = 2 << 30
    all_memory_bytes: int = 3 << 30
    processes: int = 8
    file_bytes: int = 8 << 20
    wall_factor: float = 10.0


@dataclass(frozen=True)
class Job:
    """A program, the function to call, a JSON list of its arguments with the CPU seconds that each call may take, and
    how much all results together may be. ``result_bytes``: how large each is expected to be, if that is known.
    ``timed``: the CPU seconds of the calls come in a last frame. ``tagged``: the arguments are written as
    ``inner.encode`` does. ``results``: ``value``; ``items``, where what is no plain value comes as the set of its
    items; or ``not none``.
    """

    code: str
    entry_point: str
    inputs: bytes
    cpu_limits_s: tuple[float, ...]
    output_bytes: int = 32 << 20
    result_bytes: tuple[int, ...] = ()
    timed: bool = False
    tagged: bool = False
    results: str = "value"

    @property
    def cpu_s(self) -> int:
        """Return CPU seconds of the whole run, as evalplus bounds it: the sum of the calls' limits, at most 60 s."""
        return int(min(60.0, sum(self.cpu_limits_s))) + 2


@dataclass(frozen=True)
class Outcome:
    """Say how a candidate's process ended: ``ended`` by itself, ``stopped`` by the caller, at the ``wall`` limit, over
    the ``output`` limit, over the limit of ``memory`` in all, or over a limit of CPU time (``cpu``) that it had got rid
    of inside; ``signal`` is 0 if none ended it. ``cpu_s``: what the kernel says that it used with its children."""

    why: str
    signal: int
    cpu_s: float


class Sandbox(contextlib.AbstractContextManager["Sandbox"]):
    """One process tree that candidates run in. Used by one thread; ``kill`` may be called from any."""

    def __init__(
        self, *, worker: int = 0, limits: Limits | None = None, launcher: Launcher = bubblewrap
    ) -> None:
        """Start it and wait until it is ready; raises ``GradingError`` with bubblewrap's own words if it is not."""
        self.limits = limits or Limits()
        self._resources = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._group: ControlGroup | None = None
        self.closed = False
        try:
            self._start(worker, launcher)
            self._await_ready()
            self._join_group()
        except BaseException:  # an interrupt too: whatever goes wrong here must leave no sandbox behind
            self.close()
            raise

    def _start(self, worker: int, launcher: Launcher) -> None:
        errors, errors_out = os.pipe()
        self._resources.callback(os.close, errors)
        os.set_blocking(errors, False)
        self._errors = errors
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._resources.enter_context(ours)
        self._control = Control(ours)
        folder = "/"
        if launcher is not bubblewrap:
            folder = self._resources.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        with theirs, contextlib.ExitStack() as passed:
            passed.callback(os.close, errors_out)
            launch = launcher(worker, theirs.fileno(), passed)
            self._process = subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors_out,
                pass_fds=(theirs.fileno(), *launch.passed),
                env=launch.environment,
                cwd=folder,
                start_new_session=True,
                user=launch.uid,
                group=launch.uid,
                extra_groups=None if launch.uid is None else [],
            )

    def _await_ready(self) -> None:
        try:
            answer = self._control.wait(time.monotonic() + _START_LIMIT_S)
        except SandboxDiedError:
            answer = None
        if answer is None or answer.get("why") != "ready":
            raise GradingError(f"the sandbox does not start: {self._last_words() or 'no message'}")

    def _last_words(self) -> str:
        """Read what it wrote about itself, without waiting."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._errors, 65536).decode(errors="replace").strip()[-500:]
        return ""

    def _join_group(self) -> None:
        """Put what has started into a control group of its own, if there may be one. Nothing forks yet."""
        assert self._process is not None  # noqa: S101 -- it is ready
        with contextlib.suppress(GradingError, OSError):
            group = ControlGroup.make(self.limits.all_memory_bytes, self.limits.processes + _OWN_PROCESSES)
            self._resources.callback(group.remove)
            group.add(self._process.pid)
            self._group = group

    def run(self, job: Job, on_frame: OnFrame, on_bytes: OnBytes | None = None) -> Outcome:
        """Run one candidate and hand over its frames while ``on_frame`` returns True; ``on_bytes`` may take some first.

        Raises ``SandboxDiedError`` when the sandbox is gone before the candidate was done. ``on_frame`` may raise
        ``ValueError`` for a frame that nobody honest sends: it ends the run, and is passed on. Where the candidate
        left something behind that the next one could meet, the sandbox is ``closed`` afterwards.
        """
        killed_before = self._killed_for_memory()
        wall_s = self.limits.wall_factor * (1 + job.cpu_s / 3)
        clock = CallClock(self._cpu_s, job.cpu_limits_s, job.cpu_s, job.result_bytes)
        with self._control.start({"wall_s": wall_s}) as pipes:
            conversation = Conversation(self._control, pipes, clock, on_frame, job.output_bytes, on_bytes)
            answer = conversation.drive(self._request(job), wall_s + _GRACE_S)
        why = conversation.over or str(answer["why"])
        if why == "ended" and self._killed_for_memory() > killed_before:
            why = "memory"
        if not answer["clean"]:
            self.close()
        if conversation.error is not None:
            raise conversation.error
        status = int(answer["status"])
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome(why, ended_by, float(answer["cpu_s"]))

    def _killed_for_memory(self) -> int:
        return 0 if self._group is None else self._group.killed()

    def _cpu_s(self) -> float:
        """Return the CPU seconds of all its processes up to now, those of the dead included."""
        assert self._process is not None  # noqa: S101 -- it is ready
        in_group = None if self._group is None else self._group.cpu_s()
        return cpu_s_of_tree(self._process.pid) if in_group is None else in_group

    def _request(self, job: Job) -> bytes:
        limits = {
            "memory_bytes": self.limits.memory_bytes,
            "processes": self.limits.processes,
            "file_bytes": self.limits.file_bytes,
            "cpu_s": job.cpu_s,
        }
        head = {
            "code": job.code,
            "entry_point": job.entry_point,
            "cpu_limits_s": job.cpu_limits_s,
            "wall_factor": self.limits.wall_factor,
            "timed": job.timed,
            "tagged": job.tagged,
            "results": job.results,
            "limits": limits,
        }
        messages = (json.dumps(head).encode(), job.inputs)
        return b"".join(part for body in messages for part in (struct.pack(">I", len(body)), body))

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
        self._resources.close()

    def __exit__(self, *_: object) -> None:
        self.close()
