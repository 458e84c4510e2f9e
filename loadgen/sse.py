"""Server-Sent Events of /v1/completions: cut into events as bytes arrive, decoded only once a request has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

DONE = b"[DONE]"


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]  # what the columns of the trace hold


class _Choice(msgspec.Struct):
    text: str = ""
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Event)


class EventCutter:
    """Cuts a byte stream into the ``data`` of its events, however the bytes are split."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that ``data`` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


@dataclass
class Decoded:
    """What the events of one answer say. ``chunk_tokens`` is None where the server does not count as it streams."""

    completion: str = ""
    chunk_ns: list[int] = field(default_factory=list)
    chunk_tokens: list[int] | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    done: bool = False
    problem: str | None = None


def decode_events(events: list[tuple[int, bytes]]) -> Decoded:
    """Join (arrival in ns, data) events of one answer.

    A chunk is an event that brings text or tokens; its tokens are the growth of ``usage.completion_tokens``.
    """
    decoded = Decoded()
    texts: list[str] = []
    totals: list[int | None] = []
    counted = 0
    for t_ns, data in events:
        if data == DONE:
            decoded.done = True
            continue
        try:
            event = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            decoded.problem = f"an event is not the JSON of a completion: {error}"
            break
        if event.error is not None:
            decoded.problem = f"the server sent an error: {msgspec.json.encode(event.error).decode()[:300]}"
            break
        if event.usage is not None:
            _take_usage(decoded, event.usage)
        if event.choices:
            choice = event.choices[0]
            texts.append(choice.text)
            decoded.finish_reason = choice.finish_reason or decoded.finish_reason
            total = event.usage.completion_tokens if event.usage is not None else None
            if choice.text or (total or 0) > counted:
                decoded.chunk_ns.append(t_ns)
                totals.append(total)
                counted = max(total or 0, counted)
    decoded.completion = "".join(texts)
    decoded.chunk_tokens = _growth(totals)
    return decoded


def _take_usage(decoded: Decoded, usage: _Usage) -> None:
    decoded.prompt_tokens = usage.prompt_tokens
    decoded.output_tokens = usage.completion_tokens
    if usage.prompt_tokens_details is not None:
        decoded.cached_tokens = usage.prompt_tokens_details.cached_tokens


def _growth(totals: list[int | None]) -> list[int] | None:
    """Tokens per chunk from running totals, or None where one is missing."""
    growth, before = [], 0
    for total in totals:
        if total is None:
            return None
        growth.append(total - before)
        before = total
    return growth
