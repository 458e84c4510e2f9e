"""A server of the network and fronts that forward to it, each a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

_ENGINE = """
import socket
server, kept = socket.create_server(("127.0.0.1", 0)), []
print(server.getsockname()[1], flush=True)
while True: kept.append(server.accept())
"""
_FRONT = """
import socket, sys
server, kept = socket.create_server(("127.0.0.1", 0)), []
print(server.getsockname()[1], flush=True)
while True:
    kept.append(server.accept())
    kept.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    print("forwarded", flush=True)
"""


@dataclass(frozen=True)
class Served:
    """An engine, and the fronts before it, the outermost last."""

    engine: int
    fronts: tuple[int, ...]
    port: int
    said: tuple[IO[str], ...]

    def ask(self) -> socket.socket:
        """Open a connection through all fronts; it is through when this returns."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        for words in reversed(self.said):
            assert words.readline() == "forwarded\n"
        return connection


@contextmanager
def fronted(count: int = 1) -> Iterator[Served]:
    """An engine behind so many fronts, which have forwarded nothing yet."""
    with ExitStack() as stack:

        def started(code: str, *arguments: str) -> tuple[int, int, IO[str]]:
            command = [sys.executable, "-c", code, *arguments]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None
            return process.pid, int(process.stdout.readline()), process.stdout

        engine, port, _ = started(_ENGINE)
        fronts, said = [], []
        for _ in range(count):
            front, port, words = started(_FRONT, str(port))
            fronts.append(front)
            said.append(words)
        yield Served(engine, tuple(fronts), port, tuple(said))
