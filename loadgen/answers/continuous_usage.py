"""A count of tokens with every chunk is asked for until a server refuses that by name; then it is asked without."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from loadgen.clients.exchange import Exchange

if TYPE_CHECKING:
    from loadgen.clients.choice import Client

FIELD = "continuous_usage_stats"
_LENGTH = re.compile(rb"(?<=\r\nContent-Length: )\d+")


class Asking:
    """Remember what one load has learnt of its server."""

    def __init__(self) -> None:
        self._refused = False
        self._without: dict[bytes, bytes] = {}

    def form(self, request: bytes) -> bytes:
        """The request as this server takes it."""
        return self.without(request) if self._refused else request

    def without(self, request: bytes) -> bytes:
        """The request, head and body, without asking for counts with every chunk."""
        if request not in self._without:
            head, _, content = request.partition(b"\r\n\r\n")
            body = json.loads(content)
            body.get("stream_options", {}).pop(FIELD, None)
            content = json.dumps(body).encode()
            head = _LENGTH.sub(str(len(content)).encode(), head)
            self._without[request] = head + b"\r\n\r\n" + content
        return self._without[request]

    def try_without(self, exchange: Exchange) -> bool:
        """Say whether this answer refuses the counts by name; the exchange has forgotten it then."""
        refused = exchange.status == "http_error" and FIELD in (exchange.error or "")
        if refused:
            exchange.forget()
        return refused

    def learn(self, exchange: Exchange) -> None:
        """Remember how it went without: a server that refuses that too has another reason."""
        self._refused = self._refused or exchange.http_status == 200


class AskingClient:
    """A client whose requests leave the counts out once its server has refused them. The refused one is sent again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asking = Asking()

    @property
    def ahead_ns(self) -> int:
        """Say how long before a request is due this client wants to know of it."""
        return self._client.ahead_ns

    @property
    def opened_late(self) -> int | None:
        """Connections opened while a request waited for one; None: not known."""
        return self._client.opened_late

    @property
    def open_most(self) -> int | None:
        """Connections that were open at once, at most; None: not known."""
        return self._client.open_most

    @property
    def resent(self) -> int:
        """Requests that were sent once more, since the server had closed the connection that was kept for them."""
        return self._client.resent

    async def open_ahead(self, count: int) -> None:
        """Make ready for ``count`` requests at once, before the first.

        Raises:
            OSError: the endpoint cannot be reached.
        """
        await self._client.open_ahead(count)

    async def complete(self, request: bytes, exchange: Exchange) -> None:
        """One request, head and body; how it went is said in ``exchange``. It counts as sent when it was first."""
        await self._client.complete(self._asking.form(request), exchange)
        if self._asking.try_without(exchange):
            await self._client.complete(self._asking.without(request), exchange)
            self._asking.learn(exchange)

    def look(self) -> None:
        """Take what was received so far, of answers under way too."""
        self._client.look()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
