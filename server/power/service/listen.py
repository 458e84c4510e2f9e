"""Decide where the sidecar's service listens, and who may ask: the rules that keep a token off an open network."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from configs.addresses import checked_host
from server.power.service.app import MeterService
from server.power.service.certificate import server_context
from server.power.service.complaints import Complaints
from server.power.service.gate import Gate, Limits
from starwatt_errors import MeterError, UsageError, reason_of

_SHUTDOWN_S = 2.0


@dataclass(frozen=True)
class Listening:
    """Address and certificate of a service."""

    host: str = "127.0.0.1"
    port: int = 9520
    certificate: Path | None = None
    key: Path | None = None
    allow_plain: bool = False
    """Listen beyond this machine without TLS: the token and all figures can be read on the way."""

    @property
    def scheme(self) -> str:
        """Return https where there is a certificate."""
        return "http" if self.certificate is None else "https"

    def tls(self) -> ssl.SSLContext | None:
        """Return the certificate's context; None without one.

        Raises:
            UsageError: the host is none; one of certificate and key is missing or cannot be read; or the address asks
                for them.
        """
        check_host(self.host)
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS takes both: --certificate FILE.pem and --key FILE.pem")
        if self.certificate is None or self.key is None:
            if not self.allow_plain and not _is_loopback(self.host):
                raise UsageError(
                    f"--host {self.host} can be reached from other machines, and without TLS the token can be read on "
                    "the way: give --certificate and --key, or tunnel to 127.0.0.1, or say --allow-plain-http"
                )
            return None
        return server_context(self.certificate, self.key)

    def bind(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            MeterError: the address is not this machine's, or taken.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except (OSError, UnicodeError) as error:
            words = getattr(error, "strerror", None) or error
            raise MeterError(f"--host {self.host} --port {self.port}: {words}") from error


def address(listening: Listening, bound: socket.socket) -> str:
    """Return the service's URL."""
    host = f"[{listening.host}]" if ":" in listening.host else listening.host
    return f"{listening.scheme}://{host}:{bound.getsockname()[1]}"


def serve(
    service: MeterService, bound: socket.socket, context: ssl.SSLContext | None, ready: Callable[[], None]
) -> None:
    """Answer until SIGINT or SIGTERM; ``ready`` is called once it does."""
    asyncio.run(_serve(service, bound, context, ready))


async def _serve(
    service: MeterService, bound: socket.socket, context: ssl.SSLContext | None, ready: Callable[[], None]
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with answering(service, bound, context) as receiving:
        ready()
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, receiving}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()


@asynccontextmanager
async def answering(
    service: MeterService,
    bound: socket.socket,
    context: ssl.SSLContext | None = None,
    *,
    limits: Limits | None = None,
    complaints: Complaints | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    """Answer on ``bound`` within the block; yields the task that accepts connections, which ends by an error alone."""
    complaints = complaints or Complaints()
    with complaints.of_libraries() as logger:
        runner = web.AppRunner(
            service.app(), access_log=None, logger=logger, shutdown_timeout=_SHUTDOWN_S, handle_signals=False
        )
        await runner.setup()
        assert runner.server is not None  # noqa: S101 -- set up
        gate = Gate(runner.server, context, complaints, limits)
        receiving = asyncio.create_task(gate.receive(bound))
        try:
            yield receiving
        finally:
            receiving.cancel()
            [ended] = await asyncio.gather(receiving, return_exceptions=True)
            await gate.close()
            await runner.cleanup()
            complaints.close()
        if isinstance(ended, Exception):
            raise MeterError(f"the service cannot listen any more: {ended}") from ended


def check_host(host: str) -> None:
    """Raise UsageError where ``--host`` names none, with the name on one line."""
    try:
        checked_host(host)
    except ValueError as error:
        raise UsageError(f"--host {host if host and host.isprintable() else repr(host)}: {error}") from error


def _is_loopback(host: str) -> bool:
    """Say whether every address of this name is this machine's own."""
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: {reason_of(error)}") from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)
