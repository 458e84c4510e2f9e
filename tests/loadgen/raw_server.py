"""A server that sends exactly the bytes that it is told, and four clients that ask it.

It shares no code with the load generator: asyncio's streams on a loop of its own in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import socket
import struct
import termios
import threading
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, Self

from configs.datasets import load_dataset
from loadgen.clients.choice import client_for
from loadgen.clients.exchange import Exchange
from loadgen.planning.agenda import Item
from loadgen.planning.payload import Endpoint
from loadgen.rows import row_of
from loadgen.swarm.gevent_client import GeventClient
from tests.support.driving import SINGLE, make_spec

CLIENTS = ("wire", "httptools", "aiohttp", "locust")
TIMES = ("sent_ns", "first_token_ns", "end_ns", "chunk_ns", "scheduled_ns", "request_id")
ITEM = Item(load_dataset("starwatt-24").tasks[0], 0, "measured")
_TIMEOUT_S = 30


class Then(Enum):
    """What a server does in place of sending bytes."""

    CLOSE = "close"
    RESET = "reset"
    SHUT = "send no more, but read on"
    STAY = "stay open, and say nothing until the client leaves"


Step = bytes | float | Then
Script = Callable[[str, dict[str, Any]], Sequence[Step]]
"""The prompt and the whole body of a request, to what is sent: each step of bytes is a write of its own,
a number so many seconds."""


class RawServer:
    """Use as a context manager; ``script`` says what is answered."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.used = 0
        """Connections on which something was asked."""
        self.answer_at_head: bytes | None = None
        """Sent, and no more, before the body of a request is read."""
        self.port = 0
        self._latest: asyncio.StreamWriter | None = None

    @property
    def url(self) -> str:
        """Without /v1."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections that are open now, whether or not anything is asked on them."""
        return len(self._conversations)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="raw-server")
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, script: Script) -> None:
        """Answer so from now on, and count anew."""
        self.script, self.asked, self.used = script, [], 0

    def say(self, data: bytes) -> None:
        """Send on the connection of the last request, and wait until the client's kernel has it."""
        self._call(self._say(data))

    def _call(self, awaited: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result(timeout=_TIMEOUT_S)

    async def _say(self, data: bytes) -> None:
        assert self._latest is not None
        self._latest.write(data)
        await self._latest.drain()
        connection = self._latest.get_extra_info("socket")
        while struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0]:
            await asyncio.sleep(0)

    async def _open(self) -> None:
        self._conversations: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        self._server.close()
        for _ in range(3):  # connections that were taken just now have a conversation then
            await asyncio.sleep(0)
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.current_task()
        assert conversation is not None
        self._conversations.add(conversation)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = True
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if self.answer_at_head is not None:
                    await _take(self.answer_at_head, reader, writer)
                    await _take(Then.SHUT, reader, writer)
                    return
                length = next(
                    int(line[16:])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length: ")
                )
                body = json.loads(await reader.readexactly(length))
                self.used += first
                first = False
                self.asked.append(body)
                self._latest = writer
                assert self.script is not None
                for step in self.script(body["prompt"], body):
                    if not await _take(step, reader, writer):
                        return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._conversations.discard(conversation)
            writer.transport.abort()


async def _take(step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Do a step; whether the connection goes on."""
    if isinstance(step, bytes):
        writer.write(step)
        await writer.drain()
        await asyncio.sleep(0)
        return True
    if isinstance(step, float):
        await asyncio.sleep(step)
        return True
    if step is Then.RESET:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if step is Then.CLOSE:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return False
    if step is Then.SHUT:
        writer.write_eof()
    await reader.read(1)
    return False


def request_of(prompt: str, **more: Any) -> bytes:
    """A request that asks for this."""
    body = json.dumps({"prompt": prompt, **more}).encode()
    return b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def rows_of(
    client: str,
    url: str,
    requests: Sequence[bytes],
    between: Callable[[], None] = lambda: None,
    **changes: Any,
) -> list[dict[str, Any]]:
    """What a client makes of one request after the other; ``between``: called after each."""
    spec = make_spec(url, SINGLE, request_timeout_s=_TIMEOUT_S, **changes)
    if client == "locust":
        locust = GeventClient(Endpoint.parse(url), timeout_s=_TIMEOUT_S)
        exchanges = []
        for request in requests:
            exchanges.append(Exchange())
            locust.complete(request, exchanges[-1])
            between()
        locust.close()
    else:
        exchanges = asyncio.run(
            _asked(client_for(spec.model_copy(update={"client": client}))[1], requests, between)
        )
    return [row_of(number, ITEM, exchange.sent_ns, exchange) for number, exchange in enumerate(exchanges)]


async def _asked(client: Any, requests: Sequence[bytes], between: Callable[[], None]) -> list[Exchange]:
    exchanges = []
    await client.open_ahead(1)
    try:
        for request in requests:
            exchanges.append(Exchange())
            sending: Awaitable[None] = client.complete(request, exchanges[-1])
            await sending
            between()
    finally:
        await client.close()
    return exchanges


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    """What must be the same whoever asked; of the times only that they are in order."""
    known = [row["sent_ns"], *(row["chunk_ns"] or []), row["end_ns"]]
    assert known == sorted(known)
    return {**row, **dict.fromkeys(TIMES), "chunks": len(row["chunk_ns"] or [])}
