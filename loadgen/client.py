"""The streaming client on the event loop: an asyncio protocol over httptools, and TLS where the endpoint has it.

The loop only takes the time and keeps bytes. ``loadgen/wire`` does the same outside Python, for plain HTTP.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from time import monotonic_ns
from typing import cast

from loadgen.exchange import Answer, Exchange
from loadgen.payload import Endpoint
from loadgen.pool import Deadline, NotSentError, Pool
from traces.clock import now_ns


class AsyncioConnection(asyncio.Protocol):
    """One keep-alive connection; one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._ended: asyncio.Future[None] | None = None
        self._deadline = Deadline()
        self._unread: select.poll | None = None  # from the second exchange on

    @property
    def usable(self) -> bool:
        """Whether another exchange can start here."""
        return self._transport is not None and not self._transport.is_closing() and self._answer is None

    async def send(self, request: bytes, exchange: Exchange, timeout_s: float) -> None:
        """Send, and return when the answer has ended one way or another; ``exchange`` says how.

        Raises:
            NotSentError: the server closed the connection before, or said what nobody asked for.
            TimeoutError: the answer is not whole after so long.
        """
        assert self._transport is not None  # noqa: S101 -- the pool hands out open connections only
        if self._unread is not None and self._unread.poll(0):
            raise NotSentError
        self._answer = answer = Answer(exchange)
        self._ended = asyncio.get_running_loop().create_future()
        exchange.sent_ns = exchange.sent_ns or now_ns()
        self._transport.write(request)
        self._deadline.set(self._ended, timeout_s)
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
        """From now on, bytes that come before the next request is sent are no answer to it."""
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
        self._answer.feed(arrived_ns, data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer under way is cut off."""
        self._transport = None
        if self._answer is not None:
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
        elif (left_ns := answer.left_ns(now_ns())) is not None:
            self._deadline.set(ended, left_ns * 1e-9)


class AsyncioClient(Pool):
    """A pool of connections to one endpoint, on the running event loop."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        super().__init__(timeout_s=timeout_s)
        self._endpoint = endpoint
        self._tls = ssl.create_default_context() if endpoint.tls else None

    async def _open(self) -> AsyncioConnection:
        _, connection = await asyncio.get_running_loop().create_connection(
            AsyncioConnection, self._endpoint.host, self._endpoint.port, ssl=self._tls
        )
        return connection
