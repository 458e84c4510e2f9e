"""This process's end of the reaper's pipe: one reaper for all that a command starts."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.process.scratch import owned_folder

_SCRIPT = Path(__file__).with_name("reaper.py")
_AT_ONCE_S = 1.0
"""One that ends so soon cannot run here, and is not replaced until the next child is started."""


@dataclass
class Guard:
    """Starts the reaper when it is first needed, and again as soon as it was killed."""

    kept: set[int] = field(default_factory=set)
    """Descriptors that the reaper holds open until it has cleared up."""
    _standing: set[tuple[str, str]] = field(default_factory=set)
    """Orders (``watch``, ``sweep``, ``afterwards``) that were not taken back: another reaper is told them anew."""
    _process: subprocess.Popen[bytes] | None = None
    _pipe: int = -1
    _other_end: int = -1
    """Held open here too: a child that announces itself to a reaper just killed must not die of SIGPIPE."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, descriptor: int) -> None:
        """Have it hold an open file too; before the first child is started."""
        self.kept.add(descriptor)

    def release(self, descriptor: int) -> None:
        """Let go of a file that need not be held any more (a reaper that has it keeps it until this process ends)."""
        self.kept.discard(descriptor)

    def announcing(self) -> Callable[[], None]:
        """Return what a child calls between fork and exec: it writes its own number to the pipe."""
        with self._lock:
            pipe = self._open()

        def announce() -> None:
            with contextlib.suppress(OSError):
                os.write(pipe, f"watch {os.getpid()}\n".encode())

        return announce

    def watch(self, pid: int) -> None:
        """Remember a child that has announced itself, for a reaper that may have to be started anew."""
        with self._lock:  # told once more: the reaper that it announced itself to may just have been killed
            self._order("watch", str(pid))

    def forget(self, pid: int) -> None:
        """Forget a child that is gone with its session."""
        self._take_back("watch", str(pid), "forget")

    @contextlib.contextmanager
    def scratch(self, kind: str, *, sockets: bool = False) -> Iterator[Path]:
        """Give a temporary folder that is removed in the end, also where this process is killed.

        With ``sockets`` its path is short enough for those of a server.
        """
        with owned_folder(kind, sockets=sockets) as folder:
            with self._lock:
                self._open()
                self._order("sweep", str(folder))
            try:
                yield folder
            finally:
                self._take_back("sweep", str(folder), "swept")

    def afterwards(self, command: Sequence[str], cwd: Path) -> str:
        """Have the reaper run a command when this process has ended, however it did; returns what ``spare`` takes.

        All that was started is ended first. The command finds this process's environment as the reaper found it.
        """
        order = json.dumps({"command": list(command), "cwd": str(cwd)})
        with self._lock:
            self._open()
            self._order("afterwards", order)
        return order

    def spare(self, order: str) -> None:
        """Forget a command that need not be run any more."""
        self._take_back("afterwards", order, "spare")

    def close(self) -> None:
        """End the reaper, last of all: it ends what is left, then itself."""
        with self._lock:
            self._close_pipe()
            if self._process is not None:
                self._process.wait()
                self._process = None
            self._standing = {(order, what) for order, what in self._standing if order != "watch"}

    @property
    def pid(self) -> int | None:
        """Return the reaper's number; None where there is none."""
        return None if self._process is None else self._process.pid

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            os.close(self._other_end)
        self._pipe = self._other_end = -1

    def _order(self, order: str, what: str) -> None:
        self._standing.add((order, what))
        self._tell(order, what)

    def _take_back(self, order: str, what: str, by: str) -> None:
        with self._lock:
            self._standing.discard((order, what))
            self._tell(by, what)

    def _tell(self, order: str, what: str) -> None:
        if self._pipe >= 0:
            with contextlib.suppress(OSError):
                os.write(self._pipe, os.fsencode(f"{order} {what}\n"))

    def _open(self) -> int:
        if self._process is None:
            atexit.register(self.close)
        if self._process is None or self._process.poll() is not None:
            self._begin()
        return self._pipe

    def _begin(self) -> None:
        ends = os.pipe()
        if self._pipe < 0:
            self._other_end, self._pipe = ends
        else:  # the numbers stay: a child may be about to write to them
            for new, known in zip(ends, (self._other_end, self._pipe), strict=True):
                os.dup2(new, known, inheritable=False)
                os.close(new)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SCRIPT)],
            stdin=self._other_end, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, pass_fds=tuple(self.kept), cwd="/",
        )  # fmt: skip
        for order, what in self._standing:
            self._tell(order, what)
        threading.Thread(target=self._replace, args=(self._process,), daemon=True).start()

    def _replace(self, process: subprocess.Popen[bytes]) -> None:
        """Wait, asleep, for the reaper's end: where this process does not end too, it gets another."""
        begun_s = time.monotonic()
        process.wait()
        with self._lock:
            if process is self._process and time.monotonic() - begun_s > _AT_ONCE_S:
                self._begin()


GUARD = Guard()
"""The guard of this process."""
