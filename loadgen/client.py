"""The streaming client: an asyncio protocol over httptools, connections kept open and opened ahead.

The event loop only takes the time and keeps bytes; nothing is decoded while a request is under way.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import cast

import httptools

from loadgen.payload import Endpoint
from loadgen.sse import cut_events
from traces.clock import now_ns

_LONGEST_ERROR_BODY = 2000


@dataclass(slots=True)
class Exchange:
    """One request and what came back, undecoded. ``status`` is one of ``traces.schemas.STATUSES``."""

    sent_ns: int = 0
    end_ns: int = 0
    pieces_ns: list[int] = field(default_factory=list)
    """When each of ``pieces`` arrived."""
    pieces: list[bytes] = field(default_factory=list)
    """The body of a good answer, as the bytes came."""
    http_status: int | None = None
    status: str = "aborted"
    error: str | None = None

    @property
    def events(self) -> list[tuple[int, bytes]]:
        """The arrival and the data of each event."""
        return cut_events(self.pieces_ns, self.pieces)


class Connection(asyncio.Protocol):
    """One keep-alive connection; one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._exchange: Exchange | None = None
        self._ended: asyncio.Future[None] | None = None
        self._arrived_ns = 0
        self._good = False
        self._error_body = b""
        self._framed = False

    @property
    def usable(self) -> bool:
        """Whether another exchange can start here."""
        return self._transport is not None and not self._transport.is_closing() and self._exchange is None

    async def send(self, request: bytes, exchange: Exchange) -> None:
        """Send, and return when the answer has ended one way or another; ``exchange`` says how."""
        assert self._transport is not None  # noqa: S101 -- the pool hands out open connections only
        self._parser = httptools.HttpResponseParser(self)
        self._error_body = b""
        self._framed = self._good = False
        self._exchange = exchange
        self._ended = asyncio.get_running_loop().create_future()
        exchange.sent_ns = now_ns()
        self._transport.write(request)
        try:
            await self._ended
        finally:
            self._exchange = None

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """Take the time first, then parse."""
        self._arrived_ns = monotonic_ns()
        if self._exchange is None or self._parser is None:
            self.close()  # bytes that nobody asked for: this connection is out of step
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._finish("malformed", f"not HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer under way is cut off, or whole where nothing but the connection's end could say so."""
        self._transport = None
        self._arrived_ns = now_ns()
        if exc is None and not self._framed and self._exchange and self._exchange.http_status:
            self.on_message_complete()
        self._finish("connection_error", f"connection lost in mid-answer: {exc or 'closed by the server'}")
        self._parser = None  # it holds this connection: a cycle that reference counting cannot end

    # httptools.HttpResponseParser

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Note whether the answer says where it ends (RFC 9112, 6.3)."""
        self._framed = self._framed or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        """The status stands, whatever happens to the body."""
        if self._exchange is not None and self._parser is not None:
            self._exchange.http_status = self._parser.get_status_code()
            self._good = self._exchange.http_status == 200

    def on_body(self, body: bytes) -> None:
        """Keep the bytes of the stream and their time, or the message of an error."""
        exchange = self._exchange
        if exchange is None:
            return
        if self._good:
            exchange.pieces_ns.append(self._arrived_ns)
            exchange.pieces.append(body)
        elif len(self._error_body) < _LONGEST_ERROR_BODY:
            self._error_body += body

    def on_message_complete(self) -> None:
        """The answer is whole; decoding decides later whether it is a good one."""
        if self._exchange is None or self._parser is None:
            return
        keep_alive = self._parser.should_keep_alive()
        if self._exchange.http_status == 200:
            self._finish("ok", None)
        else:
            self._finish("http_error", self._error_body[:_LONGEST_ERROR_BODY].decode(errors="replace"))
        if not keep_alive:
            self.close()

    def _finish(self, status: str, error: str | None) -> None:
        if self._exchange is None or self._ended is None or self._ended.done():
            return
        self._exchange.end_ns = self._arrived_ns
        self._exchange.status = status
        self._exchange.error = error
        self._ended.set_result(None)


class Client:
    """A pool of connections to one endpoint."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []
        self.opened_late: int | None = 0
        self._tls = ssl.create_default_context() if endpoint.tls else None

    async def open_ahead(self, count: int) -> None:
        """Open connections before they are needed.

        Raises:
            OSError: the endpoint cannot be reached.
        """
        self._idle += await asyncio.gather(*(self._open() for _ in range(count)))

    async def complete(self, request: bytes, exchange: Exchange) -> None:
        """One request; whatever goes wrong is said in ``exchange``. Cancelling leaves it ``aborted``."""
        connection = None
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = self._take() or await self._open_late()
                await connection.send(request, exchange)
        except TimeoutError:
            self._fail(exchange, "timeout", f"no complete answer within {self._timeout_s:g} s")
        except OSError as error:  # refused, unreachable, TLS
            self._fail(exchange, "connection_error", str(error))
        except asyncio.CancelledError:
            self._fail(exchange, "aborted", "cut off at the end of the load")
            raise
        finally:
            if connection is not None:
                if connection.usable and exchange.status not in ("timeout", "aborted"):
                    self._idle.append(connection)
                else:
                    connection.close()

    async def close(self) -> None:
        """Close all idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def _open_late(self) -> Connection:
        self.opened_late = (self.opened_late or 0) + 1
        return await self._open()

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            Connection, self._endpoint.host, self._endpoint.port, ssl=self._tls
        )
        return connection

    @staticmethod
    def _fail(exchange: Exchange, status: str, error: str) -> None:
        exchange.status, exchange.error = status, error
        exchange.end_ns = now_ns()
        exchange.sent_ns = exchange.sent_ns or exchange.end_ns
