"""What connects the grader with a sandbox: a socket to process 1, and two pipes for each run.

Nobody holds the pipes of another run, so what a candidate sets on its own is gone with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_RESULTS_PIPE_BYTES = 1 << 20
_LONGEST_MESSAGE = 65536


class SandboxDiedError(Exception):
    """Process 1 of a sandbox is gone while a candidate ran."""


@dataclass(frozen=True)
class Pipes:
    """Our ends of one run's pipes: requests to write, results to read. Neither blocks."""

    requests: int
    results: int


class Control:
    """Our end of the socket to process 1: jobs in, its answers out, each one message."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self.fd = ours.fileno()

    @contextlib.contextmanager
    def start(self, job: dict[str, Any]) -> Iterator[Pipes]:
        """Have a child forked, with pipes that are made for it; they are closed on leaving."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            requests_in, requests = _pipe(theirs, ours)
            results, results_out = _pipe(ours, theirs)
            for fd in (requests, results):
                os.set_blocking(fd, False)
            with contextlib.suppress(OSError):  # users have a budget of pipe memory; less works as well
                fcntl.fcntl(results, fcntl.F_SETPIPE_SZ, _RESULTS_PIPE_BYTES)
            try:
                socket.send_fds(self._socket, [json.dumps(job).encode()], [requests_in, results_out])
            except OSError as error:
                raise SandboxDiedError from error
            theirs.close()
            yield Pipes(requests, results)

    def stop(self) -> None:
        """Have the candidate killed."""
        with contextlib.suppress(OSError):  # process 1 is gone: whoever waits for its answer is told
            self._socket.send(b"stop")

    def answer(self) -> dict[str, Any]:
        """Return the message that has come; raises ``SandboxDiedError`` at the end of the stream."""
        try:
            message = self._socket.recv(_LONGEST_MESSAGE)
        except OSError as error:
            raise SandboxDiedError from error
        if not message:
            raise SandboxDiedError
        return dict(json.loads(message))

    def wait(self, deadline: float) -> dict[str, Any] | None:
        """Return the next message, or None at the deadline."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
        return self.answer()


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Two ends, each closed with one of the stacks."""
    ends = os.pipe()
    for end, owner in zip(ends, (reader, writer), strict=True):
        owner.callback(os.close, end)
    return ends
