"""The client of the hot path: ``wire.c`` sends and times, this parses what it hands over.

While Python is busy for less than it works ahead, requests still go out at their instants, and arrivals bear the time
of the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any

from loadgen.exchange import Answer, Exchange
from loadgen.payload import Endpoint
from loadgen.pool import Deadline, NotSentError, Pool
from loadgen.wire.binding import Wire
from loadgen.wire.build import library
from traces.clock import now_ns

Addresses = Sequence[tuple[Any, ...]]  # as getaddrinfo has them
_AHEAD_NS = 40_000_000
"""Requests are prepared by the handful, at least half of this before they are due: 20 ms for other things."""
_GATHERED_S = 0.02
"""In an open load nobody waits for an answer's end: looked at by the handful, it costs half as much."""


class WireConnection:
    """One keep-alive connection; one exchange at a time."""

    def __init__(self, wire: Wire, connected: socket.socket) -> None:
        self._wire = wire
        self._socket = connected
        self.slot = wire.add(connected.fileno())
        self._answer: Answer | None = None
        self._ended: asyncio.Future[None] | None = None
        self._open = True
        self._deadline = Deadline()

    @property
    def usable(self) -> bool:
        """Whether another exchange can start here."""
        return self._open and self._answer is None

    async def send(self, request: bytes, exchange: Exchange, timeout_s: float) -> None:
        """Send when it is due, and return when the answer has ended one way or another; ``exchange`` says how.

        Raises:
            NotSentError: the server closed the connection before.
            TimeoutError: the answer is not whole so long after it was due.
        """
        if not self._wire.send(self.slot, request, exchange.due_ns):
            raise NotSentError
        self._answer = answer = Answer(exchange)
        self._ended = asyncio.get_running_loop().create_future()
        self._deadline.set(self._ended, timeout_s + max(exchange.due_ns - now_ns(), 0) * 1e-9)
        try:
            await self._ended
        except TimeoutError:
            self.look()
            if not answer.settle():
                raise
        finally:
            self._deadline.clear()
            if not answer.ended and self._open:
                self.look()  # cut off: keep what came so far
            self._open = self._open and answer.reusable
            self._answer = None
            os.sched_yield()  # what follows takes long: if bytes wait on this CPU for the thread to time them, now

    def look(self) -> None:
        """Take what was received since."""
        received = self._wire.take(self.slot)
        answer, ended = self._answer, self._ended
        if answer is None or ended is None:
            self._open = False  # closed, or bytes that nobody asked for
            return
        if not received.sent_ns:
            self._open = False  # closed, or bytes that cannot be an answer to what was not asked yet
            if not ended.done():
                ended.set_exception(NotSentError)
            return
        answer.exchange.sent_ns = answer.exchange.sent_ns or received.sent_ns
        start = 0
        for arrived_ns, end in zip(received.times_ns, received.ends, strict=True):
            answer.feed(arrived_ns, received.data[start:end])
            start = end
        if received.closed_ns:
            self._open = False
            answer.cut_off(
                received.closed_ns,
                OSError(received.error, os.strerror(received.error)) if received.error else None,
            )
        if ended.done():
            return
        if answer.ended:
            ended.set_result(None)
        elif (left_ns := answer.left_ns(now_ns())) is not None:
            self._deadline.set(ended, left_ns * 1e-9)

    def close(self) -> None:
        """Close at once."""
        self._open = False
        self._deadline.close()
        if self._socket.fileno() >= 0:
            self._wire.remove(self.slot)
            self._socket.close()


class WireClient(Pool):
    """A pool of connections to one endpoint of plain HTTP."""

    ahead_ns = _AHEAD_NS

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, at_once: bool) -> None:
        """Start its thread; ``at_once``: whether something waits for the end of each answer.

        Raises:
            LoadError: ``wire.c`` can't be compiled here.
        """
        super().__init__(timeout_s=timeout_s)
        self._endpoint = endpoint
        self._wire = Wire(library())
        self._connections: dict[int, WireConnection] = {}
        self._at_once = at_once
        self._looking: asyncio.Task[None] | None = None
        self._addresses: Addresses | None = None  # looked up once: a load must not measure the resolver

    async def close(self) -> None:
        """Close all connections and end the thread."""
        await super().close()
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        self._wire.close()

    async def _open(self) -> WireConnection:
        loop = asyncio.get_running_loop()
        if self._looking is None:
            self._looking = loop.create_task(self._look_always())
        if self._addresses is None:
            self._addresses = await loop.getaddrinfo(
                self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM
            )
        connected = await _connect(loop, self._addresses)
        connection = WireConnection(self._wire, connected)
        self._connections[connection.slot] = connection
        return connection

    async def _look_always(self) -> None:
        told = asyncio.Event()
        loop, news_fd = asyncio.get_running_loop(), self._wire.news_fd
        if self._at_once:
            loop.add_reader(news_fd, told.set)
        try:
            while True:
                if self._at_once:
                    await told.wait()
                    told.clear()
                else:
                    await asyncio.sleep(_GATHERED_S)
                for slot in self._wire.news():
                    self._connections[slot].look()
                    os.sched_yield()
        finally:
            if self._at_once:
                loop.remove_reader(news_fd)


async def _connect(loop: asyncio.AbstractEventLoop, addresses: Addresses) -> socket.socket:
    """Connected to the first address that takes us."""
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
        except BaseException:  # cancelled: the socket must not outlive it
            opened.close()
            raise
        else:
            return opened
    raise failures[0]  # a name without an address is an error of getaddrinfo
