"""A count of tokens with every chunk is asked for until a server refuses that by name; then it is asked without."""

from __future__ import annotations

import json
import re
from abc import abstractmethod

from loadgen.clients.exchange import Exchange

FIELD = "continuous_usage_stats"
_LENGTH = re.compile(rb"(?<=\r\nContent-Length: )\d+")


class Asking:
    """Remember what one load has learnt of its server."""

    def __init__(self) -> None:
        self._refused = False
        self._without: dict[bytes, bytes] = {}

    def form(self, request: bytes) -> bytes:
        """Return the request as this server takes it."""
        return self.without(request) if self._refused else request

    def without(self, request: bytes) -> bytes:
        """Return the request, head and body, without asking for counts with every chunk."""
        if request not in self._without:
            head, _, content = request.partition(b"\r\n\r\n")
            body = json.loads(content)
            body.get("stream_options", {}).pop(FIELD, None)
            content = json.dumps(body).encode()
            head = _LENGTH.sub(str(len(content)).encode(), head)
            self._without[request] = head + b"\r\n\r\n" + content
        return self._without[request]

    def try_without(self, request: bytes, exchange: Exchange) -> bool:
        """Say whether this answer refuses by name the counts that were asked for; the exchange forgets it then."""
        named = FIELD.encode() in request and FIELD in (exchange.error or "")
        refused = named and exchange.status == "http_error"
        if refused:
            exchange.forget()
        return refused

    def learn(self, exchange: Exchange) -> None:
        """Remember how it went without: a server that refuses that too has another reason."""
        self._refused = self._refused or exchange.http_status == 200


class AskingClient:
    """A client whose requests leave the counts out once its server has refused them. The refused one is sent again."""

    def __init__(self) -> None:
        self._asking = Asking()

    async def complete(self, request: bytes, exchange: Exchange) -> None:
        """One request, head and body; how it went is said in ``exchange``. It counts as sent when it was first."""
        await self._complete_once(self._asking.form(request), exchange)
        if self._asking.try_without(request, exchange):
            await self._complete_once(self._asking.without(request), exchange)
            self._asking.learn(exchange)

    @abstractmethod
    async def _complete_once(self, request: bytes, exchange: Exchange) -> None:
        """One request as it is; whatever goes wrong is said in ``exchange``. Cancelling leaves it ``aborted``."""
