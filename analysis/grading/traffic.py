"""What goes between the grader and a sandbox: requests in, frames out, and one line from process 1 at the end."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

HEADER = struct.Struct(">cI")
# A candidate with many small results would wake us for each: they may gather in the pipe instead.
_MANY_CHUNKS = 8
_GATHER_S = 0.001


class SandboxDiedError(Exception):
    """Process 1 of a sandbox is gone while a candidate ran."""


@dataclass(frozen=True)
class Frame:
    """One message of a candidate's process, of which nothing is trusted: a value, or how the run ended before its end.

    ``body`` is JSON if it is honest.
    """

    is_value: bool
    body: bytes

    @property
    def content(self) -> Any:
        """The parsed body; raises ``ValueError`` or ``RecursionError`` for what is no JSON that can be read."""
        return json.loads(self.body)


#: Takes a frame and says whether more are wanted. It may raise ``ValueError`` for one that nobody honest sends.
OnFrame = Callable[[Frame], bool]
#: Takes what has come, which begins with a whole frame; says how many bytes of whole frames need no more looking at.
OnBytes = Callable[[bytes], int]


@dataclass(frozen=True)
class Pipes:
    """Our ends: requests and control lines to write, results, answers and error messages to read. None blocks."""

    requests: int
    control: int
    results: int
    answers: int
    errors: int


class Answers:
    """The lines of process 1."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._unread = b""

    def wait(self, deadline: float) -> dict[str, Any] | None:
        """The next line, or None at the deadline."""
        while b"\n" not in self._unread:
            with selectors.DefaultSelector() as selector:
                selector.register(self._fd, selectors.EVENT_READ)
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
            self.read()
        return self.next()

    def read(self) -> None:
        """Take what is there; raises ``SandboxDiedError`` at the end of the stream."""
        data = os.read(self._fd, 65536)
        if not data:
            raise SandboxDiedError
        self._unread += data

    def next(self) -> dict[str, Any] | None:
        """A line that has come, or None."""
        line, found, rest = self._unread.partition(b"\n")
        if not found:
            return None
        self._unread = rest
        return dict(json.loads(line))


class Exchange:
    """The traffic of one candidate: its request in, its frames out, until process 1 says that it is over."""

    def __init__(
        self,
        pipes: Pipes,
        answers: Answers,
        on_frame: OnFrame,
        output_bytes: int,
        on_bytes: OnBytes | None = None,
    ) -> None:
        self._pipes = pipes
        self._answers = answers
        self._on_frame, self._on_bytes = on_frame, on_bytes
        self._buffer = bytearray()
        self._received = 0
        self._chunks = 0
        self._output_bytes = output_bytes
        self.over: str | None = None  # why the rest of the frames is not wanted
        self.error: ValueError | None = None  # what no honest run sends

    def drive(self, request: bytes, wall_s: float, grace_s: float) -> dict[str, Any]:
        """The line in which process 1 says how the run ended; raises ``SandboxDiedError`` if none comes in time."""
        _write_all(self._pipes.control, json.dumps({"wall_s": wall_s}).encode() + b"\n")
        answer = self._exchange(memoryview(request), time.monotonic() + wall_s + grace_s)
        if answer is None:
            raise SandboxDiedError
        if self.over is None:
            self._read_results()  # what the dead left in the pipe
        while self.over is not None and _read_available(self._pipes.results):
            pass
        return answer

    def _exchange(self, request: memoryview, deadline: float) -> dict[str, Any] | None:
        pipes = self._pipes
        with selectors.DefaultSelector() as selector:
            selector.register(pipes.requests, selectors.EVENT_WRITE)
            selector.register(pipes.results, selectors.EVENT_READ)
            selector.register(pipes.answers, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                ready = {key.fd for key, _ in selector.select(deadline - time.monotonic())}
                if pipes.requests in ready:
                    request = request[_write_available(pipes.requests, request) :]
                    if not request:
                        selector.unregister(pipes.requests)
                if pipes.results in ready:
                    self._read_results()
                    if self._chunks > _MANY_CHUNKS and pipes.answers not in ready:
                        time.sleep(_GATHER_S)
                if pipes.answers in ready:
                    self._answers.read()
                    if answer := self._answers.next():
                        return answer
        return None

    def _read_results(self) -> None:
        while data := _read_available(self._pipes.results):
            self._received += len(data)
            self._chunks += 1
            if self.over is not None:
                continue
            self._buffer += data
            if self._on_bytes is not None and self._whole_frame():
                del self._buffer[: self._on_bytes(bytes(self._buffer))]
            try:
                wanted = all(self._on_frame(frame) for frame in self._frames())
            except (ValueError, RecursionError) as error:
                self.error = ValueError(f"a result that no honest run sends: {error}")
                wanted = False
            if self._received > self._output_bytes:
                self._stop("output")
            elif not wanted:
                self._stop("stopped")

    def _whole_frame(self) -> bool:
        """Whether there is one at the beginning of what has come."""
        if len(self._buffer) < HEADER.size:
            return False
        size: int = HEADER.unpack_from(self._buffer)[1]
        return len(self._buffer) - HEADER.size >= size

    def _frames(self) -> Iterator[Frame]:
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            kind, size = HEADER.unpack_from(self._buffer, start)
            if kind not in (b"v", b"e"):
                raise ValueError("not a frame of the runner")
            if len(self._buffer) - start - HEADER.size < size:
                break
            start += HEADER.size + size
            yield Frame(kind == b"v", bytes(self._buffer[start - size : start]))
        del self._buffer[:start]

    def _stop(self, why: str) -> None:
        self.over = why
        self._buffer.clear()
        _write_all(self._pipes.control, b"stop\n")


def last_words(fd: int) -> str:
    """What is in a pipe, as text, without waiting."""
    with contextlib.suppress(BlockingIOError):
        return os.read(fd, 65536).decode(errors="replace").strip()[-500:]
    return ""


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
