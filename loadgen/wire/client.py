"""The client of the hot path: ``wire.c`` sends and times, this parses what it hands over.

While Python is busy for less than it works ahead, requests still go out at their instants, and arrivals bear the time
of the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl

from loadgen.clients.addresses import Addresses, in_words
from loadgen.clients.demand import Demand
from loadgen.clients.exchange import Answer, Exchange
from loadgen.clients.pool import Deadline, NotSentError, Pool, UnansweredError
from loadgen.planning.payload import Endpoint
from loadgen.wire.binding import Received, Wire
from loadgen.wire.build import library
from loadgen.wire.tls import Secured, Tls
from traces.clock import now_ns

_AHEAD_NS = 40_000_000
"""Requests are prepared by the handful, at least half of this before they are due: 20 ms for other things."""
_GATHERED_S = 0.02
"""In an open load nobody waits for an answer's end: looked at by the handful, it costs half as much."""


class WireConnection:
    """One keep-alive connection; one exchange at a time."""

    def __init__(self, wire: Wire, connected: socket.socket, secured: Secured | None = None) -> None:
        self._wire = wire
        self._socket = connected
        self._secured = secured
        self.slot = wire.add(connected.fileno(), None if secured is None else secured.pointer)
        self._answer: Answer | None = None
        self._ended: asyncio.Future[None] | None = None
        self._open = True
        self._begun = False
        """Say whether anything of the answer has come."""
        self._deadline = Deadline()

    @property
    def usable(self) -> bool:
        """Say whether another exchange can start here."""
        return self._open and self._answer is None

    @property
    def busy(self) -> bool:
        """Say whether an answer is waited for."""
        return self._open and self._answer is not None

    async def send(self, request: bytes, exchange: Exchange, until_ns: int) -> None:
        """Send when it is due, and return when the answer has ended one way or another; ``exchange`` says how.

        Raises:
            NotSentError: the server closed the connection before.
            UnansweredError: the connection ended before the first byte of the answer.
            TimeoutError: the answer is not whole by then.
        """
        if not self._wire.send(self.slot, request, exchange.due_ns):
            if self._says_why_not(exchange):
                return
            raise NotSentError
        self._answer = answer = Answer(exchange)
        self._begun = False
        self._ended = asyncio.get_running_loop().create_future()
        self._deadline.set(self._ended, until_ns)
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

    def _says_why_not(self, exchange: Exchange) -> bool:
        """Say whether the server said something on opening before it closed: that is its answer then."""
        is_new = self._ended is None
        data = self._wire.take(self.slot).data
        self._open = False
        if not is_new or not data:
            return False
        answer, at_ns = Answer(exchange), now_ns()
        exchange.sent_ns = exchange.sent_ns or at_ns
        answer.feed(at_ns, data)
        answer.cut_off(at_ns, None)
        return True

    def look(self) -> None:
        """Take what was received since."""
        received = self._wire.take(self.slot)
        answer, ended = self._answer, self._ended
        if answer is None or ended is None:
            self._open = False  # closed, or bytes that nobody asked for
            return
        if not received.sent_ns and (received.data or received.closed_ns):
            self._open = False  # closed, or bytes that cannot be an answer to what was not asked yet
            _fail(ended, NotSentError())
            return
        answer.exchange.sent_ns = answer.exchange.sent_ns or received.sent_ns
        self._begun = self._begun or bool(received.data)
        _feed(answer, received)
        if received.closed_ns:
            self._open = False
            error = OSError(received.error, os.strerror(received.error)) if received.error else None
            if not self._begun:
                _fail(ended, UnansweredError(error))
                return
            answer.cut_off(max(received.closed_ns, received.sent_ns), error)
        self._settle(answer, ended)

    def _settle(self, answer: Answer, ended: asyncio.Future[None]) -> None:
        """Say that an answer has ended, or until when its end is waited for."""
        if ended.done():
            return
        if answer.ended:
            ended.set_result(None)
        elif (settled_ns := answer.settled_ns) is not None:
            self._deadline.set(ended, settled_ns)

    def close(self) -> None:
        """Close at once."""
        self._open = False
        self._deadline.close()
        if self._socket.fileno() >= 0:
            self._wire.remove(self.slot)
            if self._secured is not None:
                self._secured.close()
            self._socket.close()


def _feed(answer: Answer, received: Received) -> None:
    """Hand an answer its pieces; what was said before the request was sent counts as of then."""
    start = 0
    for arrived_ns, end in zip(received.times_ns, received.ends, strict=True):
        answer.feed(max(arrived_ns, received.sent_ns), received.data[start:end])
        start = end


def _fail(ended: asyncio.Future[None], error: Exception) -> None:
    if not ended.done():
        ended.set_exception(error)


class WireClient(Pool):
    """A pool of connections to one endpoint, in clear or over TLS."""

    ahead_ns = _AHEAD_NS

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, demand: Demand, at_once: bool) -> None:
        """Start its thread; ``at_once``: whether something waits for the end of each answer.

        Raises:
            LoadError: ``wire.c`` can't be compiled here, or https is asked for and there is no OpenSSL.
        """
        super().__init__(timeout_s=timeout_s, demand=demand)
        self._addresses = Addresses(endpoint.host, endpoint.port)
        self._tls = Tls(endpoint.host) if endpoint.tls else None
        self._wire = Wire(library())
        if self._tls is not None:
            self._wire.speak_tls(self._tls.functions)
        self._connections: dict[int, WireConnection] = {}
        self._at_once = at_once
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Close all connections and end the thread."""
        await super().close()
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        self._wire.close()
        if self._tls is not None:
            self._tls.close()

    def look(self) -> None:
        """Take what was received so far, of answers under way too."""
        for connection in self._connections.values():
            if connection.busy:
                connection.look()

    async def _open_connection(self) -> WireConnection:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_always())
        connected = await self._addresses.connected()
        secured: Secured | None = None
        try:
            if self._tls is not None:
                secured = await self._tls.secured(connected)
            connection = WireConnection(self._wire, connected, secured)
        except BaseException as error:
            if secured is not None:
                secured.close()
            connected.close()
            if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
                raise in_words(error) from error
            raise
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
