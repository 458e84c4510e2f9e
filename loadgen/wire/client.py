"""The client of the hot path: ``wire.c`` sends and times, this parses what it hands over.

However busy Python is, requests go out at their instants and arrivals bear the time of the bytes.
"""

from __future__ import annotations

import asyncio
import os
import socket

from loadgen.exchange import Answer, Exchange
from loadgen.payload import Endpoint
from loadgen.pool import NotSentError, Pool
from loadgen.wire.binding import Wire
from loadgen.wire.build import library

_AHEAD_NS = 30_000_000  # longer than Python is busy at a stretch


class WireConnection:
    """One keep-alive connection; one exchange at a time."""

    def __init__(self, wire: Wire, connected: socket.socket) -> None:
        self._wire = wire
        self._socket = connected
        self.slot = wire.add(connected.fileno())
        self._answer: Answer | None = None
        self._ended: asyncio.Future[None] | None = None
        self._open = True

    @property
    def usable(self) -> bool:
        """Whether another exchange can start here."""
        return self._open and self._answer is None

    async def send(self, request: bytes, exchange: Exchange) -> None:
        """Send when it is due, and return when the answer has ended one way or another; ``exchange`` says how.

        Raises:
            NotSentError: the server closed the connection before.
        """
        if not self._wire.send(self.slot, request, exchange.due_ns):
            raise NotSentError
        self._answer = Answer(exchange)
        self._ended = asyncio.get_running_loop().create_future()
        try:
            await self._ended
        finally:
            if not self._answer.ended and self._open:
                self.look()  # cut off: keep what came so far
            self._open = self._open and self._answer.reusable
            self._answer = None

    def look(self) -> None:
        """Take what was received since."""
        received = self._wire.take(self.slot)
        answer, ended = self._answer, self._ended
        if answer is None or ended is None:
            self._open = False  # closed, or bytes that nobody asked for
            return
        answer.exchange.sent_ns = received.sent_ns
        start = 0
        for arrived_ns, end in zip(received.times_ns, received.ends, strict=True):
            answer.feed(arrived_ns, received.data[start:end])
            start = end
        if received.closed_ns:
            self._open = False
            if not received.sent_ns and not ended.done():
                ended.set_exception(NotSentError)
                return
            answer.cut_off(
                received.closed_ns,
                OSError(received.error, os.strerror(received.error)) if received.error else None,
            )
        if answer.ended and not ended.done():
            ended.set_result(None)

    def close(self) -> None:
        """Close at once."""
        self._open = False
        if self._socket.fileno() >= 0:
            self._wire.remove(self.slot)
            self._socket.close()


class WireClient(Pool):
    """A pool of connections to one endpoint of plain HTTP."""

    ahead_ns = _AHEAD_NS

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        """Start its thread.

        Raises:
            LoadError: ``wire.c`` can't be compiled here.
        """
        super().__init__(timeout_s=timeout_s)
        self._endpoint = endpoint
        self._wire = Wire(library())
        self._connections: dict[int, WireConnection] = {}
        self._watched: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        """Close all connections and end the thread."""
        await super().close()
        if self._watched is not None:
            self._watched.remove_reader(self._wire.news_fd)
        self._wire.close()

    async def _open(self) -> WireConnection:
        loop = asyncio.get_running_loop()
        if self._watched is None:
            loop.add_reader(self._wire.news_fd, self._look)
            self._watched = loop
        connected = await _connect(loop, self._endpoint)
        connection = WireConnection(self._wire, connected)
        self._connections[connection.slot] = connection
        return connection

    def _look(self) -> None:
        for slot in self._wire.news():
            self._connections[slot].look()


async def _connect(loop: asyncio.AbstractEventLoop, endpoint: Endpoint) -> socket.socket:
    """Connected to the first address that takes us."""
    addresses = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    failures: list[OSError] = []
    for family, kind, protocol, _, address in addresses:
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(opened, address)
        except OSError as error:
            opened.close()
            failures.append(error)
        except BaseException:
            opened.close()
            raise
        else:
            return opened
    raise failures[0] if failures else OSError(f"{endpoint.host} has no address")
