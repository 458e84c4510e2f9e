"""The streaming client on the event loop: an asyncio protocol over httptools, and TLS where the endpoint has it.

The loop only takes the time and keeps bytes. ``loadgen/wire`` does the same outside Python, for plain HTTP.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from time import monotonic_ns
from typing import cast

from loadgen.clients.addresses import Addresses
from loadgen.clients.demand import Demand
from loadgen.clients.exchange import Answer, Exchange
from loadgen.clients.pool import Deadline, NotSentError, Pool, UnansweredError
from loadgen.planning.payload import Endpoint
from traces.clock import now_ns


class AsyncioConnection(asyncio.Protocol):
    """One keep-alive connection; one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._ended: asyncio.Future[None] | None = None
        self._begun = False
        """Say whether anything of the answer has come."""
        self._deadline = Deadline()
        self._unread: select.poll | None = None  # from the second exchange on

    @property
    def usable(self) -> bool:
        """Say whether another exchange can start here."""
        return self._transport is not None and not self._transport.is_closing() and self._answer is None

    async def send(self, request: bytes, exchange: Exchange, until_ns: int) -> None:
        """Send, and return when the answer has ended one way or another; ``exchange`` says how.

        Raises:
            NotSentError: the server closed the connection before, or said what nobody asked for.
            UnansweredError: the connection ended before the first byte of the answer.
            TimeoutError: the answer is not whole by then.
        """
        if self._transport is None or self._transport.is_closing():
            raise NotSentError
        if self._unread is not None and self._unread.poll(0):
            raise NotSentError
        self._answer = answer = Answer(exchange)
        self._ended = asyncio.get_running_loop().create_future()
        self._begun = False
        exchange.sent_ns = exchange.sent_ns or now_ns()
        self._transport.write(request)
        self._deadline.set(self._ended, until_ns)
        try:
            await self._ended
        except TimeoutError:
            if not answer.settle():
                raise
            self.close()
        finally:
            self._deadline.clear()
            self._answer = None
        self._watch_what_comes_between()

    def _watch_what_comes_between(self) -> None:
        """Take bytes that come before the next request is sent for no answer to it."""
        if self._unread is None and self._transport is not None:
            connected = self._transport.get_extra_info("socket")
            if connected is not None:
                self._unread = select.poll()
                self._unread.register(connected, select.POLLIN)

    def close(self) -> None:
        """Close at once."""
        self._deadline.close()
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """Take the time first, then parse."""
        arrived_ns = monotonic_ns()
        if self._answer is None:
            self.close()  # bytes that nobody asked for: this connection is out of step
            return
        self._begun = True
        self._answer.feed(arrived_ns, data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close it; an answer under way is cut off."""
        self._transport = None
        if self._answer is None or self._ended is None:
            return
        if not self._begun and not self._ended.done():
            self._ended.set_exception(UnansweredError(exc))
            return
        self._answer.cut_off(now_ns(), exc)
        self._look()

    def _look(self) -> None:
        answer, ended = self._answer, self._ended
        assert answer is not None and ended is not None  # noqa: S101, PT018 -- both callers have looked
        if answer.ended:
            if not ended.done():
                ended.set_result(None)
            if not answer.reusable or (self._transport and self._transport.get_write_buffer_size()):
                self.close()
        elif (settled_ns := answer.settled_ns) is not None:
            self._deadline.set(ended, settled_ns)


class AsyncioClient(Pool):
    """A pool of connections to one endpoint, on the running event loop."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, demand: Demand) -> None:
        super().__init__(timeout_s=timeout_s, demand=demand)
        self._host = endpoint.host
        self._addresses = Addresses(endpoint.host, endpoint.port)
        self._tls = ssl.create_default_context() if endpoint.tls else None

    def look(self) -> None:
        """Do nothing: bytes are taken as they come."""

    async def _open_connection(self) -> AsyncioConnection:
        connected = await self._addresses.connected()
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                AsyncioConnection,
                sock=connected,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        except BaseException:
            connected.close()
            raise
        return connection
