"""The second opinion: the same exchanges through aiohttp, for proxies and odd servers.

It takes several times the CPU of our own clients. Proxies are those of the environment (``HTTPS_PROXY``,
``NO_PROXY``). A request counts as sent when it is handed to aiohttp: opening a connection counts as latency.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import urllib.request
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from configs.addresses import read_address, shown_url
from loadgen.answers.continuous_usage import AskingClient
from loadgen.answers.words import http_error_words
from loadgen.clients.addresses import in_words
from loadgen.clients.exchange import (
    AFTER_DONE_S,
    CUT_OFF,
    KEPT_HEADERS,
    LONGEST_ERROR_BODY,
    DoneWatch,
    Exchange,
)
from loadgen.clients.pool import UnansweredError
from loadgen.planning.payload import Endpoint
from starwatt_errors import reason_of
from traces.clock import now_ns

_LOST = "connection lost in mid-answer: closed by the server"
_LONGEST_HEADER = 1 << 20
_ADDED_BY_AIOHTTP = ("Accept-Encoding", "User-Agent", "Content-Type", "Accept")


class _InStep(aiohttp.TCPConnector):
    """Never hands out a connection on which something came that nobody asked for: it would be taken for the answer."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return a connection that waits for a request.

        Raises:
            aiohttp.ClientError: none can be opened.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


class _Reuse(SimpleNamespace):
    """Say whether a request got a connection that had been used before."""

    def __init__(self, trace_request_ctx: _Reuse | None = None) -> None:
        super().__init__(reused=False, of=trace_request_ctx)


async def _note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.of.reused = True


def _begun(error: aiohttp.ClientError) -> bool:
    """Say whether part of a head had come: the message is that part then, and no words."""
    return not isinstance(getattr(error, "message", ""), str)


class AiohttpClient(AskingClient):
    """A pool of aiohttp's connections to one endpoint."""

    ahead_ns = 0

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        super().__init__()
        self.opened_late: int | None = None  # aiohttp opens them unseen
        self.open_most: int | None = None
        self.resent = 0
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._url = URL(f"{endpoint.scheme}://{endpoint.authority}{endpoint.path}", encoded=True)
        self._session: aiohttp.ClientSession | None = None
        self._unkept: aiohttp.ClientSession | None = None

    async def open_ahead(self, count: int) -> None:  # noqa: ARG002 -- aiohttp opens connections by itself
        """See that the endpoint, or the proxy before it, can be reached.

        Raises:
            OSError: it cannot.
        """
        if self._session is not None:
            return
        host, port = self._first_hop()
        own_hop = (host, port) == (self._endpoint.host, self._endpoint.port)
        # aiohttp's own context is as old as its import.
        tls = ssl.create_default_context() if self._endpoint.tls else None
        _, writer = await asyncio.open_connection(host, port, ssl=tls if own_hop else None)
        writer.close()
        self._session = self._opened(tls, kept=True)
        self._unkept = self._opened(tls, kept=False)

    def _opened(self, tls: ssl.SSLContext | None, *, kept: bool) -> aiohttp.ClientSession:
        """Return a session; of one that keeps no connections, each request has a new one."""
        connector = (
            _InStep(limit=0, ssl=tls or True, keepalive_timeout=self._timeout_s)
            if kept
            else aiohttp.TCPConnector(limit=0, ssl=tls or True, force_close=True)
        )
        reused = aiohttp.TraceConfig(_Reuse)
        reused.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            skip_auto_headers=_ADDED_BY_AIOHTTP,
            trust_env=True,
            auto_decompress=False,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            trace_configs=[reused],
        )

    async def _complete_once(self, request: bytes, exchange: Exchange) -> None:
        exchange.sent_ns = exchange.sent_ns or now_ns()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._complete(request, exchange)
        except TimeoutError:
            exchange.fail("timeout", f"no complete answer within {self._timeout_s:g} s")
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            begun = exchange.http_status or _begun(error)
            exchange.fail("connection_error", _LOST if begun else str(UnansweredError()))
        except aiohttp.ClientResponseError as error:  # what came is no HTTP
            exchange.fail("malformed", f"not HTTP: {error.message}")
        except (aiohttp.ClientError, OSError) as error:  # refused, unreachable, reset, TLS
            said: Exception = error
            if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(
                error, aiohttp.ClientSSLError
            ):
                said = in_words(error.os_error)
            when = "connection lost in mid-answer: " if exchange.http_status else ""
            exchange.fail("connection_error", when + reason_of(said))
        except asyncio.CancelledError:
            exchange.fail("aborted", CUT_OFF)
            raise
        finally:
            exchange.end_ns = exchange.end_ns or now_ns()

    def look(self) -> None:
        """Do nothing: bytes are taken as they come."""

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._session, self._unkept):
            if session is not None:
                await session.close()

    async def _complete(self, request: bytes, exchange: Exchange) -> None:
        """Send, at most twice: the server may have closed a kept connection while the request was on its way."""
        assert self._session is not None  # noqa: S101 -- open_ahead() comes first
        assert self._unkept is not None  # noqa: S101
        kept = _Reuse()
        try:
            await self._exchange(self._session, request, exchange, kept)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if _begun(error) or not kept.reused or exchange.http_status is not None:
                raise
            self.resent += 1
            await self._exchange(self._unkept, request, exchange, kept)

    async def _exchange(
        self, session: aiohttp.ClientSession, request: bytes, exchange: Exchange, kept: _Reuse
    ) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        async with session.post(
            self._url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=kept
        ) as response:
            exchange.http_status = response.status
            exchange.headers = {
                name: response.headers[name] for name in KEPT_HEADERS.values() if name in response.headers
            }
            if response.status != 200:
                content = await response.content.read(LONGEST_ERROR_BODY)
                while len(content) < LONGEST_ERROR_BODY and not response.content.at_eof():
                    content += await response.content.read(LONGEST_ERROR_BODY - len(content))
                exchange.status = "http_error"
                exchange.error = http_error_words(response.status, exchange.headers, content)
                return
            await self._read(response, exchange)
            exchange.status, exchange.end_ns = "ok", now_ns()

    async def _read(self, response: aiohttp.ClientResponse, exchange: Exchange) -> None:
        """Keep the body, to its end or little longer than [DONE]."""
        done = DoneWatch(exchange)
        while data := await response.content.readany():
            exchange.pieces_ns.append(now_ns())
            exchange.pieces.append(data)
            if done.look():
                break
        else:
            return
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(AFTER_DONE_S):
                while data := await response.content.readany():
                    exchange.pieces_ns.append(now_ns())
                    exchange.pieces.append(data)
                return
        response.close()

    def _first_hop(self) -> tuple[str, int]:
        """Return the proxy of the environment, or the endpoint itself."""
        scheme = self._endpoint.scheme
        proxy = urllib.request.getproxies().get(scheme)
        if proxy is None or urllib.request.proxy_bypass(self._endpoint.host):
            return self._endpoint.host, self._endpoint.port
        try:
            hop = read_address(proxy, scheme="http")
        except ValueError as error:
            raise OSError(f"the proxy of {scheme}_proxy, {shown_url(proxy)}: {error}") from error
        return hop.host, hop.port
