"""A server whose answers are known to the byte, and which misbehaves on demand.

It shares no code with the load generator: an asyncio stream server on a loop of its own in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from tests.support.busy import PATIENCE_S


@dataclass(frozen=True)
class Asked:
    """One request, as it came over the wire."""

    number: int
    t_ns: int
    in_flight: int
    """Requests being answered when it came, itself included."""
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """How one request is answered."""

    tokens: int = 3
    gap_s: float = 0.0
    status: int = 200
    content: bytes = b'{"error": {"message": "because"}}'
    """The body of an answer that is not 200."""
    usage: Literal["each", "end", "none"] = "each"
    ending: Literal["done", "no_done", "reset", "closed"] = "done"
    """``reset`` and ``closed`` break the connection off after the first token."""
    events: tuple[bytes, ...] | None = None
    """Sent in place of the completion's own events."""
    framing: Literal["chunked", "eof"] = "chunked"
    bytes_at_once: int | None = None
    until_seen: int = 0
    """Begins only when the server has seen so many requests."""
    until_in_flight: int = 0
    """Begins only when so many requests are in flight."""
    prompt_tokens: int = 11
    """What ``usage`` says of the prompt."""
    raw: bytes | None = None
    """Sent as it is, head and all; then the connection is closed."""


Behaviour = Callable[[Asked], Answer]


@dataclass
class TruthServer:
    """Use as a context manager; ``asked`` and ``most_in_flight`` are the truth afterwards."""

    behave: Behaviour = lambda _: Answer()
    asked: list[Asked] = field(default_factory=list)
    most_in_flight: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None
    models: tuple[str, ...] | None = None
    """What /v1/models lists; None: there is no such page. It is no request that ``asked`` counts."""
    models_asked_by: list[str | None] = field(default_factory=list, init=False)
    """With which credentials it was asked for these."""

    @property
    def url(self) -> str:
        """Without /v1."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="truth-server")
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=PATIENCE_S)

    async def _open(self) -> None:
        self._in_flight = 0
        self._waiting: list[tuple[Answer, asyncio.Future[None]]] = []
        self._conversations: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(
            self._meet, "127.0.0.1", self.port, backlog=1024, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        self._server.close()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        await self._server.wait_closed()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.current_task()
        assert conversation is not None
        self._conversations.add(conversation)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._conversations.discard(conversation)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        if head[0].startswith("GET "):
            self.models_asked_by.append(headers.get("authorization"))
            writer.write(self._listed())
            return True
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self._in_flight += 1
        leave = self._leaver()
        try:
            asked = Asked(
                len(self.asked),
                time.monotonic_ns(),
                self._in_flight,
                head[0].split()[1],
                headers,
                body,
            )
            self.asked.append(asked)
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            answer = self.behave(asked)
            await self._turn(answer)
            return await self._answer(writer, asked, answer, leave)
        finally:
            leave()

    def _listed(self) -> bytes:
        if self.models is None:
            return error_bytes(Answer(status=404, content=b""))
        listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        return error_bytes(Answer(content=json.dumps(listed).encode()))

    async def _turn(self, answer: Answer) -> None:
        """Wait until this request may be answered; whoever may when a request arrives goes, and none is overtaken."""
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((answer, waiting))
        for other, its in self._waiting:
            enough = len(self.asked) >= other.until_seen and self._in_flight >= other.until_in_flight
            if enough and not its.done():
                its.set_result(None)
        self._waiting = [(other, its) for other, its in self._waiting if not its.done()]
        await waiting

    def _leaver(self) -> Callable[[], None]:
        """Takes one request out of flight, however often it is called: before its client can know that it ended."""
        left = False

        def leave() -> None:
            nonlocal left
            self._in_flight -= 0 if left else 1
            left = True

        return leave

    async def _answer(
        self, writer: asyncio.StreamWriter, asked: Asked, answer: Answer, leave: Callable[[], None]
    ) -> bool:
        if answer.raw is not None:
            writer.write(answer.raw)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return False
        if answer.status != 200:
            leave()
            await _send(writer, answer, error_bytes(answer))
            return True
        chunked = answer.framing == "chunked"
        framing = "Transfer-Encoding: chunked" if chunked else "Connection: close"
        await _send(
            writer,
            answer,
            f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n\r\n".encode(),
        )
        for index, event in enumerate(answer.events or completion_events(asked, answer)):
            await _send(writer, answer, as_chunk(event) if chunked else event)
            if answer.gap_s:
                await asyncio.sleep(answer.gap_s)
            if index == 0 and answer.ending in ("reset", "closed"):
                _break_off(writer, reset=answer.ending == "reset")
                return False
        leave()
        if chunked:
            await _send(writer, answer, b"0\r\n\r\n")
            return True
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return False


def completion_text(tokens: int) -> str:
    """What the server says in so many tokens."""
    return "".join(f" t{number}é" for number in range(tokens))


def completion_events(asked: Asked, answer: Answer) -> list[bytes]:
    """The events of a good answer (or of one that only lacks its end)."""
    wanted = asked.body.get("max_tokens", 16) if asked.body.get("ignore_eos") else answer.tokens
    events = []
    for number in range(wanted):
        last = number == wanted - 1
        event: dict[str, Any] = {
            "choices": [{"index": 0, "text": f" t{number}é", "finish_reason": "stop" if last else None}]
        }
        if answer.usage == "each":
            event["usage"] = usage(number + 1, answer.prompt_tokens)
        events.append(event)
    if answer.usage != "none":
        events.append({"choices": [], "usage": usage(wanted, answer.prompt_tokens)})
    data = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in events]
    return data if answer.ending == "no_done" else [*data, b"data: [DONE]\n\n"]


def usage(tokens: int, prompt_tokens: int = 11) -> dict[str, Any]:
    """vLLM's usage block."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "prompt_tokens_details": {"cached_tokens": 4},
    }


def as_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def error_bytes(answer: Answer) -> bytes:
    """An answer that is no stream of events."""
    head = f"HTTP/1.1 {answer.status} No\r\ncontent-length: {len(answer.content)}\r\n\r\n"
    return head.encode() + answer.content


async def _send(writer: asyncio.StreamWriter, answer: Answer, data: bytes) -> None:
    step = answer.bytes_at_once or len(data)
    for start in range(0, len(data), step):
        writer.write(data[start : start + step])
        await writer.drain()
        if answer.bytes_at_once:
            await asyncio.sleep(0)


def _break_off(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()
