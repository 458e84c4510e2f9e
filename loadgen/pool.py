"""Connections to one endpoint, kept open and opened ahead, whatever reads and writes on them."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Protocol

from loadgen.exchange import Exchange
from traces.clock import now_ns

_LONGEST_OPENING_S = 30.0


class NotSentError(Exception):
    """The server closed a connection before the request on it was due; another one will do."""


class Connection(Protocol):
    """One keep-alive connection; one exchange at a time."""

    @property
    def usable(self) -> bool:
        """Whether another exchange can start here."""

    async def send(self, request: bytes, exchange: Exchange, timeout_s: float) -> None:
        """Send, and return when the answer has ended one way or another; ``exchange`` says how.

        Raises:
            NotSentError: nothing was sent, and nothing can be.
            TimeoutError: the answer is not whole ``timeout_s`` after it was due.
        """

    def close(self) -> None:
        """Close at once."""


class Deadline:
    """One timer for all exchanges of a connection, set anew when it fires: one for each would cost far more."""

    def __init__(self) -> None:
        self._ended: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._at_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, ended: asyncio.Future[None], in_s: float) -> None:
        """End this with a TimeoutError so many seconds from now, unless it is cleared or set again before."""
        self._ended = ended
        self._at_s = self._loop.time() + in_s
        if self._timer is not None and self._timer.when() > self._at_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._at_s, self._fired)

    def clear(self) -> None:
        """Nothing is waited for."""
        self._at_s = self._ended = None

    def close(self) -> None:
        """Give the timer back."""
        if self._timer is not None:
            self._timer.cancel()

    def _fired(self) -> None:
        self._timer = None
        if self._at_s is None:
            return
        if self._loop.time() >= self._at_s:
            self._at_s = None
            if self._ended is not None and not self._ended.done():
                self._ended.set_exception(TimeoutError())
        else:
            self._timer = self._loop.call_at(self._at_s, self._fired)


class Pool:
    """A pool of connections to one endpoint; the common part of our two clients."""

    ahead_ns = 0
    """How long before a request is due this client wants to know of it."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []
        self.opened_late: int | None = 0

    async def open_ahead(self, count: int) -> None:
        """Open connections before they are needed.

        Raises:
            OSError: the endpoint cannot be reached.
        """
        self._idle += await asyncio.gather(*(self._open_in_time() for _ in range(count)))

    async def complete(self, request: bytes, exchange: Exchange) -> None:
        """One request; whatever goes wrong is said in ``exchange``. Cancelling leaves it ``aborted``."""
        connection = None
        try:
            while True:
                connection = self._take() or await self._open_for(exchange)
                try:
                    await connection.send(request, exchange, self._timeout_s)
                    break
                except NotSentError:
                    connection.close()
        except TimeoutError:
            _fail(exchange, "timeout", f"no complete answer within {self._timeout_s:g} s")
        except OSError as error:  # refused, unreachable, TLS
            _fail(exchange, "connection_error", str(error))
        except asyncio.CancelledError:
            _fail(exchange, "aborted", "cut off at the end of the load")
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
            connection.close()
        return None

    async def _open_for(self, exchange: Exchange) -> Connection:
        connection = await self._open_in_time()
        if now_ns() > exchange.due_ns:
            self.opened_late = (self.opened_late or 0) + 1
        return connection

    async def _open_in_time(self) -> Connection:
        limit_s = min(self._timeout_s, _LONGEST_OPENING_S)
        try:
            async with asyncio.timeout(limit_s):
                return await self._open()
        except TimeoutError as error:
            raise ConnectionError(f"no connection could be opened within {limit_s:g} s") from error

    @abstractmethod
    async def _open(self) -> Connection:
        """A new connection.

        Raises:
            OSError: the endpoint cannot be reached.
        """


def _fail(exchange: Exchange, status: str, error: str) -> None:
    exchange.status, exchange.error = status, error
    exchange.end_ns = now_ns()
    exchange.sent_ns = exchange.sent_ns or exchange.end_ns
