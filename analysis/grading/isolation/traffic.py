"""What goes between the grader and a candidate: its request in, its frames out, until process 1 says it is over."""

from __future__ import annotations

import json
import os
import selectors
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from analysis.grading.isolation.channel import Control, Pipes, SandboxDiedError
from analysis.grading.isolation.clock import CallClock

HEADER = struct.Struct(">cI")
_BEGIN = HEADER.pack(b"b", 0)
# A candidate with many small results would wake us for each: they may gather in the pipe instead.
_MANY_CHUNKS = 8
_GATHER_S = 0.001


@dataclass(frozen=True)
class Frame:
    """One message of a candidate's process, of which nothing is trusted: a value, or how the run ended before its end.

    ``body`` is JSON if it is honest.
    """

    is_value: bool
    body: bytes

    @property
    def content(self) -> Any:
        """Return the parsed body; raises ``ValueError`` or ``RecursionError`` for what is no JSON that can be read."""
        return json.loads(self.body)


#: Takes a frame and says whether more are wanted. It may raise ``ValueError`` for one that nobody honest sends.
OnFrame = Callable[[Frame], bool]
#: Takes what has come, which begins with a whole frame; says how many bytes, and frames, need no more looking at.
OnBytes = Callable[[bytes], tuple[int, int]]


class Conversation:
    """The traffic of one candidate."""

    def __init__(
        self,
        control: Control,
        pipes: Pipes,
        clock: CallClock,
        on_frame: OnFrame,
        output_bytes: int,
        on_bytes: OnBytes | None = None,
    ) -> None:
        self._control, self._pipes, self._clock = control, pipes, clock
        self._on_frame, self._on_bytes = on_frame, on_bytes
        self._buffer = bytearray()
        self._received = 0
        self._chunks = 0
        self._began, self._values = False, 0
        self._open = True  # whether more results can come
        self._output_bytes = output_bytes
        self.over: str | None = None  # why the rest of the frames is not wanted
        self.error: ValueError | None = None  # what no honest run sends

    def drive(self, request: bytes, limit_s: float) -> dict[str, Any]:
        """Return what process 1 says of the run's end; raises ``SandboxDiedError`` if it says nothing in time."""
        answer = self._exchange(memoryview(request), time.monotonic() + limit_s)
        if answer is None:
            raise SandboxDiedError
        if self.over is None:
            self._read_results()  # what the dead left in the pipe
        return answer

    def _exchange(self, request: memoryview, deadline: float) -> dict[str, Any] | None:
        pipes, clock = self._pipes, self._clock
        with selectors.DefaultSelector() as selector:
            selector.register(pipes.requests, selectors.EVENT_WRITE)
            selector.register(pipes.results, selectors.EVENT_READ)
            selector.register(self._control.fd, selectors.EVENT_READ)
            while (left_s := deadline - time.monotonic()) > 0:
                look_s = left_s if self.over else clock.next_look_s()
                ready = {key.fd for key, _ in selector.select(min(left_s, look_s))}
                if pipes.requests in ready:
                    request = request[_write_available(pipes.requests, request) :]
                    if not request:
                        selector.unregister(pipes.requests)
                if pipes.results in ready:
                    self._read_results()
                    if not self._open:
                        selector.unregister(pipes.results)
                    elif self._chunks > _MANY_CHUNKS and self._control.fd not in ready:
                        time.sleep(_GATHER_S)
                if self._control.fd in ready:
                    return self._control.answer()
                if self.over is None and clock.due() and clock.exceeded(self._progress):
                    self._stop("cpu")
        return None

    def _progress(self) -> tuple[bool, int]:
        """Say what has come by now: whether the calls have begun, and how many are done."""
        if self._open:
            self._read_results()
        return self._began, self._values

    def _read_results(self) -> None:
        while data := _read_available(self._pipes.results):
            self._received += len(data)
            self._chunks += 1
            if self.over is not None:
                continue
            self._buffer += data
            self._clock.moved()
            try:
                wanted = self._take()
            except (ValueError, RecursionError) as error:
                self.error = ValueError(f"a result that no honest run sends: {error}")
                wanted = False
            if self._received > self._output_bytes:
                self._stop("output")
            elif not wanted:
                self._stop("stopped")
        self._open = data is None

    def _take(self) -> bool:
        """Hand over what has come whole; whether more is wanted."""
        if not self._began:
            self._begin()
        if self._on_bytes is not None and self._whole_frame():
            size, frames = self._on_bytes(bytes(self._buffer))
            del self._buffer[:size]
            self._values += frames
        return all(self._on_frame(frame) for frame in self._frames())

    def _begin(self) -> None:
        """Pass over the empty frame that comes before the first call, unless there is none."""
        if self._whole_frame() and self._buffer.startswith(_BEGIN):
            del self._buffer[: HEADER.size]
            self._began = True

    def _whole_frame(self) -> bool:
        """Say whether there is one at the beginning of what has come."""
        if len(self._buffer) < HEADER.size:
            return False
        size: int = HEADER.unpack_from(self._buffer)[1]
        return len(self._buffer) - HEADER.size >= size

    def _frames(self) -> Iterator[Frame]:
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            kind, size = HEADER.unpack_from(self._buffer, start)
            if kind != b"e" and not (kind == b"v" and self._began):
                raise ValueError("not a frame of the runner")
            if len(self._buffer) - start - HEADER.size < size:
                break
            start += HEADER.size + size
            self._values += kind == b"v"
            yield Frame(kind == b"v", bytes(self._buffer[start - size : start]))
        del self._buffer[:start]

    def _stop(self, why: str) -> None:
        self.over = why
        self._buffer.clear()
        self._control.stop()


def _read_available(fd: int) -> bytes | None:
    """Read what is there; empty at the end of the stream, None if nothing has come."""
    try:
        return os.read(fd, 1 << 18)
    except BlockingIOError:
        return None


def _write_available(fd: int, data: memoryview) -> int:
    """Write as many bytes as go, and say how many; all where nobody reads any more: process 1 says why."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)
