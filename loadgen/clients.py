"""Which client makes the requests: our own, or aiohttp's behind the same interface."""

from __future__ import annotations

from typing import Protocol

from loadgen import client
from loadgen.payload import Endpoint
from loadgen.spec import LoadSpec


class Client(Protocol):
    """A pool of connections to one endpoint."""

    opened_late: int | None
    """Connections opened while a request waited for one; None: not known."""

    async def open_ahead(self, count: int) -> None:
        """Make ready for ``count`` requests at once, before the first.

        Raises:
            OSError: the endpoint cannot be reached.
        """

    async def complete(self, request: bytes, exchange: client.Exchange) -> None:
        """One request, head and body; how it went is said in ``exchange``, and nothing but a cancellation raises."""

    async def close(self) -> None:
        """Close all connections."""


def client_for(spec: LoadSpec) -> Client:
    """The client that a spec asks for."""
    endpoint = Endpoint.parse(spec.url)
    if spec.client == "aiohttp":
        from loadgen.aiohttp_client import AiohttpClient

        return AiohttpClient(endpoint, timeout_s=spec.request_timeout_s)
    return client.Client(endpoint, timeout_s=spec.request_timeout_s)
