"""Counts of tokens are asked for until a server refuses that by name; then it is asked without what it refused."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Iterator

from loadgen.clients.exchange import Exchange

OPTIONS, FIELD = "stream_options", "continuous_usage_stats"
_LEFT_OUT = (FIELD, OPTIONS)
"""What may be left out, the least first: counts with every chunk, or all counts."""
_OF_THE_REQUEST = (400, 422)
"""Refusals of what was asked. A server that is busy (429), lets nobody in or fails (5xx) may quote the request too."""
_LENGTH = re.compile(rb"(?<=\r\nContent-Length: )\d+")


class Asking:
    """Remember what one load has learnt of its server."""

    def __init__(self) -> None:
        self._most: str | None = None
        self._without: dict[tuple[bytes, str], bytes] = {}

    def forms(self, request: bytes, exchange: Exchange) -> Iterator[bytes]:
        """Yield the request as this server takes it, then with ever less while it refuses that, as ``exchange`` says.

        The exchange forgets what was refused. A refusal that names both may be of either: some quote what they were
        sent. One that leaves nothing more to leave out has another reason.
        """
        left_out = self._most
        yield self.without(request, left_out)
        while (refused := self._refused(request, exchange, left_out)) is not None:
            exchange.forget()
            left_out = refused
            yield self.without(request, left_out)
        if left_out is not None and exchange.http_status == 200 and self._most != OPTIONS:
            self._most = left_out

    def without(self, request: bytes, left_out: str | None) -> bytes:
        """Return the request, head and body, without one of ``FIELD`` and ``OPTIONS``."""
        if left_out is None:
            return request
        if (request, left_out) not in self._without:
            head, _, content = request.partition(b"\r\n\r\n")
            body = json.loads(content)
            (body if left_out == OPTIONS else body.get(OPTIONS, {})).pop(left_out, None)
            content = json.dumps(body).encode()
            head = _LENGTH.sub(str(len(content)).encode(), head)
            self._without[request, left_out] = head + b"\r\n\r\n" + content
        return self._without[request, left_out]

    def _refused(self, request: bytes, exchange: Exchange, left_out: str | None) -> str | None:
        """Return the least that an answer refuses by name, of what was asked for and is not left out already."""
        if exchange.status != "http_error" or exchange.http_status not in _OF_THE_REQUEST:
            return None
        left = _LEFT_OUT if left_out is None else _LEFT_OUT[_LEFT_OUT.index(left_out) + 1 :]
        said = exchange.error or ""
        return next((name for name in left if name in said and name.encode() in request), None)


class AskingClient:
    """A client whose requests leave the counts out once its server has refused them. The refused one is sent again."""

    def __init__(self) -> None:
        self._asking = Asking()

    async def complete(self, request: bytes, exchange: Exchange) -> None:
        """Make one request, head and body; how it went is said in ``exchange``. It counts as sent when it was first."""
        for form in self._asking.forms(request, exchange):
            await self._complete_once(form, exchange)

    @abstractmethod
    async def _complete_once(self, request: bytes, exchange: Exchange) -> None:
        """One request as it is; whatever goes wrong is said in ``exchange``. Cancelling leaves it ``aborted``."""
