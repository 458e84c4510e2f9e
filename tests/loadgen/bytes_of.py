"""The bytes of answers, as servers write them."""

from __future__ import annotations

import json
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def event(data: Any) -> bytes:
    """One event."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def token(text: str, tokens: int | None = None, finish: str | None = None, **more: Any) -> bytes:
    """An event that brings text; ``tokens``: all so far."""
    data: dict[str, Any] = {"choices": [{"index": 0, "text": text, "finish_reason": finish}], **more}
    if tokens is not None:
        data["usage"] = {"prompt_tokens": 5, "completion_tokens": tokens}
    return event(data)


def total(tokens: int) -> bytes:
    """An event that only counts."""
    return event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}})


def good(text: str) -> list[bytes]:
    """The events of a good answer: a token a character."""
    last = len(text)
    tokens = [token(char, at, "stop" if at == last else None) for at, char in enumerate(text, start=1)]
    return [*tokens, total(last), DONE]


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    """One chunk of a chunked body."""
    return b"%x" % len(data) + extension + b"\r\n" + data + b"\r\n"


def stream(events: list[bytes], head: bytes = CHUNKED, last: bytes = LAST) -> list[bytes]:
    """Each event in a chunk and a write of its own; the last chunk comes with the last event."""
    *most, end = events
    return [head, *map(chunk, most), chunk(end) + last]


def of_length(body: bytes, head: bytes = HEAD) -> bytes:
    """An answer that says how long it is."""
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def refused(status: int, body: bytes = b"", *headers: bytes) -> bytes:
    """An answer that is no good one."""
    lines = [b"HTTP/1.1 %d No" % status, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
