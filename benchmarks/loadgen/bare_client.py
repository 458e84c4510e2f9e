"""The limit: an asyncio protocol, httptools, uvloop, and nothing recorded but times.

``python -m benchmarks.loadgen.bare_client URL RATE SECONDS OUT.npz``: equal gaps, nothing caps what is in flight.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from time import monotonic_ns
from urllib.parse import urlsplit

import httptools
import numpy as np
import uvloop

_BODY = json.dumps({"model": "m", "prompt": "def f():", "max_tokens": 64, "stream": True}).encode()
_REQUEST = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
_OPENED_AHEAD = 64
_DRAIN_S = 5.0


class Bare(asyncio.Protocol):
    """One connection, one request at a time; back to ``idle`` when its answer has ended."""

    idle: list[Bare] = []  # noqa: RUF012 -- one pool, as bare as it gets
    answers: list[tuple[int, int, list[int]]] = []  # noqa: RUF012

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def begin(self, scheduled_ns: int) -> None:
        """Send one request."""
        self.parser = httptools.HttpResponseParser(self)
        self.scheduled_ns = scheduled_ns
        self.times: list[int] = []
        self.sent_ns = monotonic_ns()
        self.transport.write(_REQUEST)  # type: ignore[attr-defined]  # uvloop's is no WriteTransport

    def data_received(self, data: bytes) -> None:
        self.now_ns = monotonic_ns()
        self.parser.feed_data(data)

    def on_body(self, _: bytes) -> None:
        self.times.append(self.now_ns)

    def on_message_complete(self) -> None:
        Bare.answers.append((self.scheduled_ns, self.sent_ns, self.times))
        Bare.idle.append(self)


class Server:
    """Where connections are opened."""

    def __init__(self, url: str) -> None:
        asked = urlsplit(url)
        self._host, self._port = asked.hostname or "", asked.port or 0
        self._tls = ssl.create_default_context() if asked.scheme == "https" else None

    async def open(self) -> Bare:
        """A new connection."""
        loop = asyncio.get_running_loop()
        _, bare = await loop.create_connection(Bare, self._host, self._port, ssl=self._tls)
        return bare

    async def open_and_begin(self, due_ns: int) -> None:
        """A new connection, and a request on it."""
        (await self.open()).begin(due_ns)


async def _drive(server: Server, rate: float, count: int) -> None:
    Bare.idle += await asyncio.gather(*(server.open() for _ in range(_OPENED_AHEAD)))
    opening: set[asyncio.Task[None]] = set()
    start_ns = monotonic_ns()
    for number in range(count):
        due_ns = start_ns + round(number * 1e9 / rate)
        while (remaining_ns := due_ns - monotonic_ns()) > 0:
            await asyncio.sleep(max(remaining_ns, 1_000_000) * 1e-9)  # the loop's timers are of milliseconds
        if Bare.idle:
            Bare.idle.pop().begin(due_ns)
        else:
            opening.add(asyncio.create_task(server.open_and_begin(due_ns)))
    deadline_ns = monotonic_ns() + round(_DRAIN_S * 1e9)
    while len(Bare.answers) < count and monotonic_ns() < deadline_ns:
        await asyncio.sleep(0.05)


def main() -> None:
    """Drive the load and save the times."""
    url, rate, seconds, out = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    uvloop.run(_drive(Server(url), rate, round(rate * seconds)))
    np.savez(
        out,
        scheduled_ns=np.array([scheduled for scheduled, _, _ in Bare.answers], dtype=np.int64),
        sent_ns=np.array([sent for _, sent, _ in Bare.answers], dtype=np.int64),
        first_ns=np.array([times[0] for _, _, times in Bare.answers], dtype=np.int64),
        gaps_ns=np.concatenate(
            [np.diff(times[:-2]) for _, _, times in Bare.answers]
        ),  # less usage and [DONE]
    )


if __name__ == "__main__":
    main()
