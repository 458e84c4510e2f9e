"""Connections to one endpoint, kept open and opened as they are needed, whatever reads and writes on them."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from typing import Protocol

from loadgen.answers.continuous_usage import AskingClient
from loadgen.clients.demand import Demand
from loadgen.clients.exchange import CUT_OFF, Exchange
from starwatt_errors import reason_of
from traces.clock import now_ns

_LONGEST_OPENING_S = 30.0
_TO_OPEN_S = 0.005
"""So long before a request is due, and twice the time that others took, its connection is opened at the latest."""
_AFTER_A_REFUSAL_NS = 1_000_000_000
_TOO_MANY = (429, 503)
"""What a server answers that takes no more; some count connections, those too on which nothing is asked."""


class NotSentError(Exception):
    """The server closed a connection before the request on it was due; another one will do."""


class UnansweredError(ConnectionError):
    """The connection ended after the request was sent, and before the first byte of an answer."""

    def __init__(self, error: Exception | None = None) -> None:
        why = "closed by the server" if error is None else reason_of(error)
        super().__init__(f"connection lost before the answer: {why}")


class Connection(Protocol):
    """One keep-alive connection; one exchange at a time."""

    @property
    def usable(self) -> bool:
        """Say whether another exchange can start here."""

    async def send(self, request: bytes, exchange: Exchange, until_ns: int) -> None:
        """Send, and return when the answer has ended one way or another; ``exchange`` says how.

        Raises:
            NotSentError: nothing was sent, and nothing can be.
            UnansweredError: the connection ended before the first byte of the answer.
            TimeoutError: the answer is not whole by ``until_ns``.
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

    def set(self, ended: asyncio.Future[None], until_ns: int) -> None:
        """End this with a TimeoutError at that instant, unless it is cleared or set again before."""
        self._ended = ended
        self._at_s = self._loop.time() + (until_ns - now_ns()) * 1e-9
        if self._timer is not None and self._timer.when() > self._at_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._at_s, self._fired)

    def clear(self) -> None:
        """Close all connections; nothing is waited for."""
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


class Pool(AskingClient):
    """A pool of connections to one endpoint; the common part of our two clients."""

    ahead_ns = 0

    def __init__(self, *, timeout_s: float, demand: Demand) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self._demand = demand
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._open = 0
        self._refused_ns = 0
        self.opened_late: int | None = 0
        self.open_most: int | None = 0
        self.resent = 0

    async def open_ahead(self, count: int) -> None:
        """Open connections before they are needed: one at least, and the others where the server takes them.

        Raises:
            OSError: the endpoint cannot be reached.
        """
        self._give(await self._open_in_time(self._longest_opening_s))
        await asyncio.gather(*(self._open_one_more() for _ in range(count - 1)))

    async def _complete_once(self, request: bytes, exchange: Exchange) -> None:
        until_ns = max(exchange.due_ns, now_ns()) + round(self._timeout_s * 1e9)
        try:
            await self._complete(request, exchange, until_ns)
        except TimeoutError:
            exchange.fail("timeout", f"no complete answer within {self._timeout_s:g} s")
        except OSError as error:  # refused, unreachable, TLS
            exchange.fail("connection_error", reason_of(error))
        except asyncio.CancelledError:
            exchange.fail("aborted", CUT_OFF)
            raise

    async def close(self) -> None:
        """Close all idle connections."""
        for opening in self._opening:
            opening.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        while self._idle:
            self._drop(self._idle.pop())

    async def _complete(self, request: bytes, exchange: Exchange, until_ns: int) -> None:
        """Send, at most twice: the server may have closed a kept connection while the request was on its way."""
        resent = False
        while True:
            kept = None if resent else self._take() or await self._falls_free(exchange)
            connection = kept or await self._opened_for(exchange, until_ns)
            try:
                await self._send(connection, request, exchange, until_ns)
            except NotSentError:
                if kept is None and now_ns() >= exchange.due_ns:
                    raise UnansweredError from None
                if kept is None:
                    await _sleep_until(exchange.due_ns)
            except UnansweredError:
                if kept is None:
                    raise
                self.resent += 1
                resent = True
            else:
                return

    async def _send(self, connection: Connection, request: bytes, exchange: Exchange, until_ns: int) -> None:
        """Send on a connection, and keep it where another exchange can follow."""
        self._open_ahead_of_need()
        begun_ns = now_ns()
        whole = False
        try:
            await connection.send(request, exchange, until_ns)
            whole = True
        finally:
            if whole:
                self._demand.used((now_ns() - begun_ns) * 1e-9)
            if exchange.http_status in _TOO_MANY:
                self._refused_ns = now_ns()
            if whole and connection.usable:
                self._give(connection)
            else:
                self._drop(connection)

    def _give(self, connection: Connection) -> None:
        """Hand a connection to whoever waits for one, or put it to the others."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return
        self._idle.append(connection)

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._drop(connection)
        return None

    def _drop(self, connection: Connection) -> None:
        self._open -= 1
        connection.close()

    async def _falls_free(self, exchange: Exchange) -> Connection | None:
        """Return a connection that another request gives back, in time for this one; None where none does."""
        spare_s = (exchange.due_ns - now_ns()) * 1e-9 - 2 * self._demand.opening_s - _TO_OPEN_S
        # At high rates what is early must stay early.
        if spare_s <= 0 or self._open == 0 or not self._demand.slow:
            return None
        waiting: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(spare_s):
                return await waiting
        except TimeoutError:
            return waiting.result() if _has_result(waiting) else None
        except asyncio.CancelledError:
            if _has_result(waiting):
                self._give(waiting.result())
            raise

    async def _opened_for(self, exchange: Exchange, until_ns: int) -> Connection:
        """Return a new connection; where it can't be opened before the request is due, it is tried again when it is.

        A request that waits for it counts as sent when its opening began: the handshake is the server's time.
        """
        while True:
            began_ns = now_ns()
            ahead = began_ns < exchange.due_ns
            limit_s = min(self._longest_opening_s, (until_ns - began_ns) * 1e-9)
            try:
                connection = await self._open_in_time(limit_s)
            except OSError:
                if ahead:
                    await _sleep_until(exchange.due_ns)
                    continue
                exchange.sent_ns = exchange.sent_ns or began_ns
                raise
            if now_ns() > exchange.due_ns:
                self.opened_late = (self.opened_late or 0) + 1
                exchange.sent_ns = exchange.sent_ns or max(began_ns, exchange.due_ns)
            return connection

    def _open_ahead_of_need(self) -> None:
        """Open in the background what the load is about to need; not at once again where the server took no more."""
        if now_ns() - self._refused_ns < _AFTER_A_REFUSAL_NS:
            return
        in_use = self._open - len(self._idle)
        for _ in range(self._demand.wanted(in_use) - self._open - len(self._opening)):
            opening = asyncio.create_task(self._open_one_more())
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open_one_more(self) -> None:
        try:
            self._give(await self._open_in_time(self._longest_opening_s))
        except OSError:  # whichever request needs it will say so
            self._refused_ns = now_ns()

    @property
    def _longest_opening_s(self) -> float:
        return min(self._timeout_s, _LONGEST_OPENING_S)

    async def _open_in_time(self, limit_s: float) -> Connection:
        began_ns = now_ns()
        try:
            async with asyncio.timeout(limit_s):
                connection = await self._open_connection()
        except TimeoutError as error:
            most_s = self._longest_opening_s
            raise ConnectionError(f"no connection could be opened in time (at most {most_s:g} s)") from error
        self._demand.opened((now_ns() - began_ns) * 1e-9)
        self._open += 1
        self.open_most = max(self.open_most or 0, self._open)
        return connection

    @abstractmethod
    async def _open_connection(self) -> Connection:
        """Return a new connection.

        Raises:
            OSError: the endpoint cannot be reached.
        """


def _has_result(future: asyncio.Future[Connection]) -> bool:
    return future.done() and not future.cancelled()


async def _sleep_until(at_ns: int) -> None:
    await asyncio.sleep(max(at_ns - now_ns(), 0) * 1e-9)
