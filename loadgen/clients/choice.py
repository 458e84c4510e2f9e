"""Choose the client that makes the requests: one of our two, or aiohttp's behind the same interface."""

from __future__ import annotations

from typing import Protocol

from configs.loads import Open
from loadgen.clients.demand import Demand
from loadgen.clients.exchange import Exchange
from loadgen.planning.arrivals import mean_rate
from loadgen.planning.payload import Endpoint
from loadgen.spec import LoadSpec
from starwatt_errors import LoadError


class Client(Protocol):
    """A pool of connections to one endpoint."""

    ahead_ns: int
    """How long before a request is due this client wants to know of it."""
    opened_late: int | None
    """Connections opened while a request waited for one; None: not known."""
    open_most: int | None
    """Connections that were open at once, at most; None: not known."""
    resent: int
    """Requests that were sent once more, since the server had closed the connection that was kept for them."""

    async def open_ahead(self, count: int) -> None:
        """Make ready for ``count`` requests at once, before the first.

        Raises:
            OSError: the endpoint cannot be reached.
        """

    async def complete(self, request: bytes, exchange: Exchange) -> None:
        """Make one request, head and body; ``exchange`` says how it went, and nothing but a cancellation raises."""

    def look(self) -> None:
        """Take what was received so far, of answers under way too."""

    async def close(self) -> None:
        """Close all connections."""


def client_for(spec: LoadSpec) -> tuple[str, Client]:
    """Return the client that a spec asks for, and its name; ``auto`` is the best that this endpoint and machine allow.

    Raises:
        LoadError: ``wire`` is asked for, and can't be had here.
    """
    endpoint = Endpoint.parse(spec.url, spec.endpoint)
    demand = _demand(spec)
    if spec.client == "aiohttp":
        from loadgen.clients.aiohttp_client import AiohttpClient

        return "aiohttp", AiohttpClient(endpoint, timeout_s=spec.request_timeout_s)
    if spec.client in ("wire", "auto"):
        from loadgen.wire.client import WireClient

        try:
            at_once = not isinstance(spec.load, Open) or demand.slow
            return "wire", WireClient(
                endpoint, timeout_s=spec.request_timeout_s, demand=demand, at_once=at_once
            )
        except LoadError:
            if spec.client == "wire":
                raise
    from loadgen.clients.asyncio_client import AsyncioClient

    return "httptools", AsyncioClient(endpoint, timeout_s=spec.request_timeout_s, demand=demand)


def _demand(spec: LoadSpec) -> Demand:
    """Estimate the connections that a load needs from its rate; a capped one's is not known ahead."""
    if not isinstance(spec.load, Open) or spec.load.max_in_flight is not None:
        return Demand()
    return Demand(mean_rate(spec.load) / spec.workers)
