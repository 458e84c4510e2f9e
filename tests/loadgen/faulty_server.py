"""A completions endpoint that echoes its prompt, and does to each request what a list of faults says.

It shares no code with the load generator: an asyncio stream server on a loop of its own in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tests.support.busy import PATIENCE_S

Kind = Literal["good", "refuse", "reset", "close", "silent_close", "interim", "delay", "restart", "deaf"]
_WAIT_S = 0.02


@dataclass(frozen=True)
class Fault:
    """What happens to one request; ``at`` (0 to 1) is where in its answer, for those that break it off."""

    kind: Kind = "good"
    at: float = 0.0


def echo_of(prompt: str) -> str:
    """What the server answers to a prompt, and to no other."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


class FaultyServer:
    """Use as a context manager. When its faults are used up it answers well."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults: Iterator[Fault] = iter(faults)
        self._writers: set[asyncio.StreamWriter] = set()
        self._restarting: asyncio.Task[None] | None = None
        self._deaf = False

    @property
    def url(self) -> str:
        """Without /v1."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-server")
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(0), self._loop).result(timeout=PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(timeout=PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", port, backlog=1024)
        self._port: int = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._restarting is not None:
            await self._restarting
        await self._stop_listening()
        await asyncio.sleep(_WAIT_S)  # what was accepted already is met
        for writer in self._writers:
            writer.transport.abort()
        if talking := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(talking)
        await asyncio.sleep(_WAIT_S)  # transports close their sockets a turn of the loop later

    async def _stop_listening(self) -> None:
        """Close the server once what it has accepted has a transport: asyncio leaves it unclosed otherwise."""
        for listener in self._server.sockets:
            self._loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)
        self._server.close()

    async def _restart(self) -> None:
        """Nobody listens any more: every connection is gone, and some time later there is a server again."""
        await self._stop_listening()
        for writer in list(self._writers):
            _reset(writer)
        await asyncio.sleep(_WAIT_S)
        await self._listen(self._port)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._deaf:  # taken, and closed again at once
            self._deaf = False
            writer.close()
            return
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
        asked = json.loads(await reader.readexactly(int(headers["content-length"])))
        fault = next(self._faults, Fault())
        answer = _whole(asked["prompt"])
        if fault.kind == "restart":
            if self._restarting is None or self._restarting.done():
                self._restarting = asyncio.create_task(self._restart())
            return False
        if fault.kind == "refuse":
            answer = b"HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy"
        elif fault.kind == "interim":
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            await writer.drain()
        elif fault.kind == "delay":
            await asyncio.sleep(_WAIT_S)
        elif fault.kind in ("reset", "close"):
            writer.write(answer[: round(fault.at * (len(answer) - 1))])
            await writer.drain()
            if fault.kind == "reset":
                _reset(writer)
            return False
        self._deaf = self._deaf or fault.kind == "deaf"
        writer.write(answer)
        await writer.drain()
        return fault.kind != "silent_close"


def _whole(prompt: str) -> bytes:
    """Two tokens, the second one empty, and the end of a stream."""
    events: list[object] = [
        {
            "choices": [{"index": 0, "text": echo_of(prompt), "finish_reason": None}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        },
        {
            "choices": [{"index": 0, "text": "", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        },
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    ]
    data = [f"data: {json.dumps(event)}\n\n".encode() for event in events] + [b"data: [DONE]\n\n"]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in data)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n\r\n"


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
