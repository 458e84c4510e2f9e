"""A body becomes the events of a stream (Server-Sent Events, HTML standard 9.2), each with its arrival."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

DONE = b"[DONE]"
ERROR, STRAY = b"error", b"a line of no event"
_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\r|\n)")


class StreamEvent(NamedTuple):
    """One event. ``name``: what its ``event:`` line says; ``STRAY`` is what stands in no field of an event."""

    t_ns: int
    """When the last byte of its last line arrived."""
    data: bytes
    name: bytes = b""


def cut_events(pieces_ns: list[int], pieces: list[bytes]) -> list[StreamEvent]:
    """Cut the events of a stream that came in these pieces at these instants.

    However the bytes are split, the events are the same. Lines end in LF, CRLF or CR, whose last event may lack its
    blank line, and a server that ends every event with one line end is understood too.
    """
    cutter = _Cutter()
    arrivals = zip(accumulate(map(len, pieces)), pieces_ns, strict=True)
    received, t_ns = 0, 0
    for end, line in _lines(b"".join(pieces)):
        while received < end:
            received, t_ns = next(arrivals)
        cutter.take(t_ns, line)
    cutter.end_event()
    return cutter.events


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """(where it ends, its own end included; the line itself)."""
    start = 0
    if b"\r" in body:
        for match in _LINE.finditer(body):
            line = match[1]
            yield match.end(), line if start else line.removeprefix(_BOM)
            start = match.end()
    else:
        *lines, _ = body.split(b"\n")
        for line in lines:
            end = start + len(line) + 1
            yield end, line if start else line.removeprefix(_BOM)
            start = end
    if start < len(body):
        yield len(body), body[start:] if start else body.removeprefix(_BOM)


class _Cutter:
    """Collects the lines of one event after the other."""

    def __init__(self) -> None:
        self.events: list[StreamEvent] = []
        self._name = b""
        self._data: list[tuple[int, bytes]] = []

    def take(self, t_ns: int, line: bytes) -> None:
        """Take one line, without its end."""
        field, _, value = line.partition(b":")
        if not line:
            self.end_event()
        elif field == b"data":
            self._take_data(t_ns, value.strip())
        elif field == b"event":
            self._name = value.strip()
        elif field == b"error":  # llama.cpp before 2025
            self.events.append(StreamEvent(t_ns, value.strip(), ERROR))
        elif field not in (b"", b"id", b"retry"):  # "" is a comment
            self.events.append(StreamEvent(t_ns, line, STRAY))

    def _take_data(self, t_ns: int, value: bytes) -> None:
        if value == DONE:
            self.end_event()
            self.events.append(StreamEvent(t_ns, value))
        else:
            self._data.append((t_ns, value))

    def end_event(self) -> None:
        """Take what was collected for one event; lines that are a document each are an event each."""
        if len(self._data) == 1 or all(_is_whole(value) for _, value in self._data):
            self.events += [StreamEvent(t_ns, value, self._name) for t_ns, value in self._data if value]
        else:
            joined = b"\n".join(value for _, value in self._data)
            self.events.append(StreamEvent(self._data[-1][0], joined, self._name))
        self._data, self._name = [], b""


def _is_whole(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith(b"}")
