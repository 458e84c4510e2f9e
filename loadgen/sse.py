"""Server-Sent Events of /v1/completions: cut and decoded only once a request has ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from operator import sub
from typing import Annotated, Any

import msgspec

DONE = b"[DONE]"
_LAST = b"data: [DONE]\n\n"


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]  # what the columns of the trace hold


class _Choice(msgspec.Struct, gc=False):
    text: str = ""
    finish_reason: str | None = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None


class _Event(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Event)


def cut_events(pieces_ns: list[int], pieces: list[bytes]) -> list[tuple[int, bytes]]:
    """The ``data`` of each event of a stream that came in these pieces, with the arrival of its line's last byte.

    However the bytes are split, the events are the same.
    """
    events = []
    arrivals = zip(accumulate(map(len, pieces)), pieces_ns, strict=True)
    received, t_ns = 0, 0
    end = 0
    *lines, _unfinished = b"".join(pieces).split(b"\n")
    for line in lines:
        end += len(line) + 1
        if line.startswith(b"data:"):
            while received < end:
                received, t_ns = next(arrivals)
            events.append((t_ns, line[5:].strip()))
    return events


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


def decode_answer(pieces_ns: list[int], pieces: list[bytes]) -> Decoded:
    """What an answer says whose body came in these pieces at these times."""
    at_once = _each_an_event(pieces)
    if at_once is not None:
        decoded = _joined_as_usual(pieces_ns, at_once) or _joined(zip(pieces_ns, at_once, strict=False))
        decoded.done = True
        return decoded
    return decode_events(cut_events(pieces_ns, pieces))


def decode_events(events: list[tuple[int, bytes]]) -> Decoded:
    """The same of (arrival in ns, data) events."""
    reader = _Reader(events)
    decoded = _joined(reader)
    decoded.done = reader.done
    decoded.problem = decoded.problem or reader.problem
    return decoded


def _each_an_event(pieces: list[bytes]) -> list[_Event] | None:
    """All events but [DONE] at once, where each piece is one of them and all is well: what a server sends as it should.

    Between two braces a newline stands between two documents, never within one; so lines and documents are the same.
    """
    if len(pieces) < 2 or pieces[-1] != _LAST:
        return None
    count = len(pieces) - 1
    joined = b"\r".join(pieces[:-1])  # a mark that no piece may hold, where one ends and the next begins
    if (
        not joined.startswith(b"data: {")
        or not joined.endswith(b"}\n\n")
        or joined.count(b"}\n\n\rdata: {") != count - 1
        or joined.count(b"\n") != 2 * count
        or joined.count(b"\r") != count - 1
    ):
        return None
    try:
        events = _DECODER.decode_lines(joined[6:-2].replace(b"\n\n\rdata: ", b"\n"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return events if len(events) == count else None


def _joined_as_usual(times_ns: list[int], events: list[_Event]) -> Decoded | None:
    """The same as ``_joined``, without a loop: each event brings tokens and says how many, the last one only counts."""
    *chunks, last = events
    if last.choices or last.usage is None or any(event.error is not None for event in events):
        return None
    choices = [event.choices[0] for event in chunks if event.choices]
    totals = [event.usage.completion_tokens or 0 for event in chunks if event.usage]
    growth = list(map(sub, totals, [0, *totals]))
    if not len(choices) == len(totals) == len(chunks) > 0 or min(growth) < 1:
        return None
    decoded = Decoded(chunk_ns=times_ns[: len(chunks)], chunk_tokens=growth)
    decoded.completion = "".join([choice.text for choice in choices])
    said = [choice.finish_reason for choice in choices if choice.finish_reason]
    decoded.finish_reason = said[-1] if said else None
    _take_usage(decoded, last.usage)
    return decoded


class _Reader:
    """Events one by one, up to the first that is none."""

    def __init__(self, events: list[tuple[int, bytes]]) -> None:
        self._events = events
        self.done = False
        self.problem: str | None = None

    def __iter__(self) -> Iterator[tuple[int, _Event]]:
        for t_ns, data in self._events:
            if data == DONE:
                self.done = True
                continue
            try:
                event = _DECODER.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self.problem = f"an event is not the JSON of a completion: {error}"
                return
            yield t_ns, event


def _joined(events: Iterable[tuple[int, _Event]]) -> Decoded:
    """A chunk is an event that brings text or tokens; its tokens are the growth of ``usage.completion_tokens``."""
    decoded = Decoded()
    texts: list[str] = []
    totals: list[int | None] = []
    counted = 0
    usage: _Usage | None = None
    for t_ns, event in events:
        if event.error is not None:
            decoded.problem = f"the server sent an error: {msgspec.json.encode(event.error).decode()[:300]}"
            break
        total = None
        if event.usage is not None:
            usage = event.usage
            total = usage.completion_tokens
        if event.choices:
            choice = event.choices[0]
            texts.append(choice.text)
            if choice.finish_reason:
                decoded.finish_reason = choice.finish_reason
            if choice.text or (total or 0) > counted:
                decoded.chunk_ns.append(t_ns)
                totals.append(total)
                counted = max(total or 0, counted)
    if usage is not None:
        _take_usage(decoded, usage)
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
