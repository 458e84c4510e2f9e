"""Which client makes the requests: one of our two, or aiohttp's behind the same interface."""

from __future__ import annotations

from typing import Protocol

from configs.loads import Open
from loadgen.exchange import Exchange
from loadgen.payload import Endpoint
from loadgen.spec import LoadSpec
from starwatt_errors import LoadError


class Client(Protocol):
    """A pool of connections to one endpoint."""

    ahead_ns: int
    """How long before a request is due this client wants to know of it."""
    opened_late: int | None
    """Connections opened while a request waited for one; None: not known."""

    async def open_ahead(self, count: int) -> None:
        """Make ready for ``count`` requests at once, before the first.

        Raises:
            OSError: the endpoint cannot be reached.
        """

    async def complete(self, request: bytes, exchange: Exchange) -> None:
        """One request, head and body; how it went is said in ``exchange``, and nothing but a cancellation raises."""

    async def close(self) -> None:
        """Close all connections."""


def client_for(spec: LoadSpec) -> tuple[str, Client]:
    """The client that a spec asks for, and its name; ``auto`` is the best that this endpoint and machine allow.

    Raises:
        LoadError: ``wire`` is asked for, and can't be had here.
    """
    endpoint = Endpoint.parse(spec.url)
    if spec.client == "aiohttp":
        from loadgen.aiohttp_client import AiohttpClient

        return "aiohttp", AiohttpClient(endpoint, timeout_s=spec.request_timeout_s)
    if spec.client == "wire" or (spec.client == "auto" and not endpoint.tls):
        from loadgen.wire.client import WireClient

        try:
            at_once = not isinstance(spec.load, Open) or spec.load.max_in_flight is not None
            return "wire", WireClient(endpoint, timeout_s=spec.request_timeout_s, at_once=at_once)
        except LoadError:
            if spec.client == "wire":
                raise
    from loadgen.client import AsyncioClient

    return "httptools", AsyncioClient(endpoint, timeout_s=spec.request_timeout_s)
