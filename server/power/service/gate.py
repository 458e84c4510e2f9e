"""Lets connections in to the service: until one has shown the token, it has little time and little room.

Whoever can reach the port can connect. So a connection has ten seconds to show the token, TLS's own greetings
included; it may send 64 KiB until then; and where there are too many, the oldest stranger of the address that has most
of them makes room.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from server.power.service.complaints import Complaints

_PAUSE_S = 0.2


@dataclass(frozen=True)
class Limits:
    """Bound what a stranger may take, and how long an answer may wait for its reader."""

    head_s: float = 10.0
    connections: int = 256
    head_bytes: int = 1 << 16
    unread_s: float = 60.0


class Guest(asyncio.Protocol):
    """One connection: hands all that comes to ``inner``, within the limits."""

    def __init__(self, inner: asyncio.Protocol, where: str, limits: Limits, complaints: Complaints) -> None:
        self.where, self.admitted = where, False
        self.settled, self.gone = asyncio.Event(), asyncio.Event()
        """Settled: it was admitted, or has gone."""
        self._inner, self._limits, self._complaints = inner, limits, complaints
        self._transport: asyncio.Transport | None = None
        self._received = 0
        self._unread: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        """Say whether there is somebody, behind TLS where that is spoken."""
        return self._transport is not None

    def admit(self) -> None:
        """Note that it has shown the token."""
        self.admitted = True
        self.settled.set()

    def refuse(self, why: str) -> None:
        """Close it, with one line that says why."""
        self._complaints.say(f"{self.where}: {why}")
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand on, as everything below."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 -- of a TCP socket
        self._transport = transport
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Hand on, if it is not too much."""
        self._received += len(data)
        if not self.admitted and self._received > self._limits.head_bytes:
            self.refuse(f"sent more than {self._limits.head_bytes} bytes without the token; closed")
            return
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Hand on; who never reads its answer is not waited for."""
        self._unread = asyncio.get_running_loop().call_later(
            self._limits.unread_s, self.refuse, "does not read its answer; closed"
        )
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        self._forget_unread()
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on; it has gone."""
        self._forget_unread()
        self.settled.set()
        self.gone.set()
        self._transport = None
        self._inner.connection_lost(exc)

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()


def admit(transport: asyncio.BaseTransport | None) -> None:
    """Admit a connection: who asks over it has shown the token."""
    guest = transport.get_protocol() if isinstance(transport, asyncio.Transport) else None
    if isinstance(guest, Guest):
        guest.admit()


def _room() -> int:
    """Half of this process's descriptors: the others are for files and sidecars."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if descriptors == resource.RLIM_INFINITY else max(1, descriptors // 2)


class Gate:
    """Accepts connections for a server whose protocols ``make`` makes."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
        complaints: Complaints,
        limits: Limits | None = None,
    ) -> None:
        self._make, self._context, self._complaints = make, context, complaints
        self._limits = limits or Limits()
        self._most = min(self._limits.connections, _room())
        self._guests: dict[Guest, asyncio.Task[None]] = {}

    async def receive(self, bound: socket.socket) -> None:
        """Accept until cancelled; what is lacking for one connection (descriptors, memory) ends no other."""
        loop = asyncio.get_running_loop()
        bound.setblocking(False)
        while True:
            try:
                connection, address = await loop.sock_accept(bound)
            except OSError as error:
                self._complaints.say(f"no connection can be accepted: {error.strerror or error}")
                await asyncio.sleep(_PAUSE_S)
                continue
            self._let_in(connection, str(address[0]))
            await asyncio.sleep(0)  # others' turn: connections may come without end

    async def close(self) -> None:
        """End every connection that has not shown the token."""
        tasks = list(self._guests.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _let_in(self, connection: socket.socket, where: str) -> None:
        if len(self._guests) >= self._most and not self._make_room():
            self._complaints.say(f"{where}: refused, {len(self._guests)} connections are open")
            connection.close()
            return
        guest = Guest(self._make(), where, self._limits, self._complaints)
        task = asyncio.get_running_loop().create_task(self._attend(guest, connection))
        self._guests[guest] = task

    def _make_room(self) -> bool:
        strangers = [guest for guest in self._guests if not guest.admitted]
        if not strangers:
            return False
        [(crowd, _)] = Counter(guest.where for guest in strangers).most_common(1)
        oldest = next(guest for guest in strangers if guest.where == crowd)
        oldest.refuse("made room for another connection before it showed the token")
        self._guests.pop(oldest).cancel()
        return True

    async def _attend(self, guest: Guest, connection: socket.socket) -> None:
        """Attend to a guest until it has gone."""
        try:
            await self._greet(guest, connection)
            if guest.connected:
                await guest.gone.wait()
        finally:
            self._guests.pop(guest, None)

    async def _greet(self, guest: Guest, connection: socket.socket) -> None:
        """Wait until it has shown the token or has gone; one that takes too long, or fails on the way, is refused."""
        loop, tls = asyncio.get_running_loop(), self._context
        try:
            async with asyncio.timeout(self._limits.head_s):
                await loop.connect_accepted_socket(
                    lambda: guest, connection, ssl=tls,
                    ssl_handshake_timeout=None if tls is None else self._limits.head_s,
                )  # fmt: skip
                await guest.settled.wait()
        except TimeoutError:
            guest.refuse(f"showed no token within {self._limits.head_s:g} s; closed")
        except (OSError, ValueError) as error:
            guest.refuse(str(error.args[-1]) if error.args else "left before it had said anything")
        finally:
            if not guest.connected:
                with suppress(OSError):
                    connection.close()
