"""Events are the same however their bytes were split, and no byte that a server sends can raise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.client import AsyncioConnection
from loadgen.exchange import Exchange
from loadgen.sse import cut_events, decode_events
from tests.loadgen.server import Answer, Asked, as_chunk, completion_events, completion_text

ANSWER = Answer(tokens=4)
EVENTS = completion_events(Asked(0, 0, 1, "/", {}, {}), ANSWER)
BODY = b": a comment\n\nevent: message\n" + b"".join(EVENTS).replace(b"\n\n", b"\r\n\r\n", 2)
WHOLE = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + as_chunk(BODY) + b"0\r\n\r\n"
REQUEST = b"a request"
DATA = [event[len(b"data: ") :].strip() for event in EVENTS]


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut at these places."""
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def event(text: str = "", finish: str | None = None, tokens: int | None = None) -> bytes:
    """One event of a completion."""
    data: dict[str, Any] = {"choices": [{"text": text, "finish_reason": finish}]}
    if tokens is not None:
        data["usage"] = {"prompt_tokens": 11, "completion_tokens": tokens}
    return json.dumps(data).encode()


class Wire(asyncio.Transport):
    """Takes what is written and answers in the given pieces."""

    def __init__(self, connection: AsyncioConnection, answer: list[bytes]) -> None:
        super().__init__()
        self._connection, self._answer = connection, answer
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert data == REQUEST
        for piece in self._answer:
            self._connection.data_received(piece)

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


def exchange_over(answer: list[bytes]) -> tuple[Exchange, Wire]:
    """One exchange over a connection that answers in these pieces."""
    exchange = Exchange()

    async def run() -> Wire:
        connection = AsyncioConnection()
        wire = Wire(connection, answer)
        connection.connection_made(wire)
        await connection.send(REQUEST, exchange, 60)
        return wire

    return exchange, asyncio.run(run())


@given(st.sets(st.integers(0, len(BODY))))
def test_events_are_cut_the_same_however_the_stream_is_split(cuts: set[int]) -> None:
    split = pieces(BODY, cuts)
    events = cut_events(list(range(len(split))), split)
    assert [data for _, data in events] == DATA
    for number, data in events:  # the piece that brought the last byte of the line
        until = b"".join(split[: number + 1])
        assert data + b"\n" in until.replace(b"\r\n", b"\n")
        assert data + b"\n" not in b"".join(split[:number]).replace(b"\r\n", b"\n")


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, len(WHOLE))))
def test_an_answer_is_the_same_however_its_bytes_are_split(cuts: set[int]) -> None:
    exchange, wire = exchange_over(pieces(WHOLE, cuts))
    assert (exchange.status, exchange.http_status, exchange.error) == ("ok", 200, None)
    assert [data for _, data in exchange.events] == DATA
    assert not wire.closed
    times = [t_ns for t_ns, _ in exchange.events]
    assert times == sorted(times)
    assert exchange.sent_ns <= times[0] <= times[-1] <= exchange.end_ns


@settings(deadline=None)  # the first conversion imports pandas
@given(st.lists(st.binary(max_size=40) | st.sampled_from(DATA), max_size=6))
def test_whatever_a_server_sends_is_a_row_and_never_an_exception(events: list[bytes]) -> None:
    decoded = decode_events([(number, data) for number, data in enumerate(events)])
    pa.array([decoded.completion], pa.large_string())
    for counted in (decoded.output_tokens, decoded.prompt_tokens, decoded.cached_tokens):
        pa.array([counted], pa.int32())


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices": [{"text": "\xff"}]}',
        b'{"choices": [{"text": "\\ud800"}]}',
        b'{"choices": null}',
        b'{"choices": [], "usage": {"completion_tokens": 99999999999}}',
        b'{"choices": [], "usage": {"completion_tokens": -1}}',
        b"not json",
        b"",
        b"[1]",
    ],
)
def test_an_event_that_is_no_completion_is_named_and_what_came_before_is_kept(data: bytes) -> None:
    decoded = decode_events([(1, event("a", tokens=1)), (2, data), (3, event("b", tokens=2))])
    assert decoded.problem is not None
    assert decoded.problem.startswith("an event is not the JSON of a completion")
    assert (decoded.completion, decoded.chunk_ns, decoded.output_tokens) == ("a", [1], 1)


@pytest.mark.parametrize(
    "data",
    [
        [b"{} {}", b'{"choices":[]', b'"usage":null}'],  # as many documents as lines, but not a document each
        [b'{"choices":[],', b'"usage":null}', b"{} {}"],
        [b'{"choices":[{"text":"a}', b'{b"}]}'],
        [b"{}{}", b"[DONE]"],
    ],
)
def test_an_event_is_a_document_of_its_own(data: list[bytes]) -> None:
    assert decode_events([(1, one) for one in [*data, b"[DONE]"]]).problem is not None


def test_an_error_event_is_told_in_the_servers_words() -> None:
    decoded = decode_events([(1, event("a")), (2, b'{"error": {"message": "out of memory"}}')])
    assert decoded.problem == 'the server sent an error: {"message":"out of memory"}'


def test_an_error_that_is_null_is_none() -> None:
    decoded = decode_events([(1, b'{"error": null, "choices": [{"text": "a", "finish_reason": "stop"}]}')])
    assert (decoded.problem, decoded.completion) == (None, "a")


def test_tokens_of_each_chunk_are_the_growth_of_the_servers_count() -> None:
    decoded = decode_events(
        [(1, event("ab", tokens=2)), (2, event("c", tokens=3)), (5, event("", "stop", tokens=4))]
    )
    assert (decoded.chunk_ns, decoded.chunk_tokens, decoded.output_tokens) == ([1, 2, 5], [2, 1, 1], 4)
    assert (decoded.completion, decoded.finish_reason) == ("abc", "stop")


def test_tokens_of_each_chunk_are_null_where_the_server_counts_only_at_the_end() -> None:
    end = b'{"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3}}'
    decoded = decode_events([(1, event("ab")), (2, event("c", "stop")), (3, end), (4, b"[DONE]")])
    assert (decoded.chunk_ns, decoded.chunk_tokens, decoded.output_tokens) == ([1, 2], None, 3)
    assert decoded.done


def test_an_event_without_text_and_tokens_is_no_chunk() -> None:
    decoded = decode_events(
        [(1, event("", tokens=0)), (2, event("a", tokens=1)), (3, event("", "stop", tokens=1))]
    )
    assert (decoded.chunk_ns, decoded.chunk_tokens) == ([2], [1])
    assert decoded.finish_reason == "stop"


def test_text_of_which_no_token_is_counted_is_still_a_chunk() -> None:
    decoded = decode_events([(1, event("a", tokens=1)), (2, event("b", tokens=1))])
    assert (decoded.chunk_ns, decoded.chunk_tokens) == ([1, 2], [1, 0])


def test_the_text_is_the_servers() -> None:
    decoded = decode_events([(number, data) for number, data in enumerate(DATA)])
    assert decoded.completion == completion_text(4)
    assert (decoded.prompt_tokens, decoded.cached_tokens, decoded.output_tokens) == (11, 4, 4)
    assert decoded.chunk_tokens == [1, 1, 1, 1]
