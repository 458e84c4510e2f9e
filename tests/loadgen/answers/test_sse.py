"""Events are the same however their bytes were split, and no byte that a server sends can raise."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.answers.event_stream import StreamEvent
from loadgen.answers.sse import Decoded, decode_answer, decode_events
from loadgen.clients.asyncio_client import AsyncioConnection
from loadgen.clients.exchange import Exchange
from tests.support.server import Answer, Asked, as_chunk, completion_events, completion_text

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

    def get_write_buffer_size(self) -> int:
        return 0

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


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, len(WHOLE))))
def test_an_answer_is_the_same_however_its_bytes_are_split(cuts: set[int]) -> None:
    exchange, wire = exchange_over(pieces(WHOLE, cuts))
    assert (exchange.status, exchange.http_status, exchange.error) == ("ok", 200, None)
    assert [event.data for event in exchange.events] == DATA
    assert not wire.closed
    times = [event.t_ns for event in exchange.events]
    assert times == sorted(times)
    assert exchange.sent_ns <= times[0] <= times[-1] <= exchange.end_ns


def decoded_of(*data: bytes, name: bytes = b"") -> Decoded:
    """What events say that came at 1, 2, … ns; ``name`` is that of the last."""
    last = len(data)
    return decode_events(
        [StreamEvent(at, part, name if at == last else b"") for at, part in enumerate(data, start=1)]
    )


@settings(deadline=None)  # the first conversion imports pandas
@given(
    st.lists(st.binary(max_size=40) | st.sampled_from(DATA), max_size=6),
    st.sampled_from([b"", b"error", b"ping"]),
)
def test_whatever_a_server_sends_is_a_row_and_never_an_exception(events: list[bytes], name: bytes) -> None:
    decoded = decoded_of(*events, name=name)
    pa.array([decoded.completion, decoded.problem, decoded.aside], pa.large_string())
    for counted in (decoded.output_tokens, decoded.prompt_tokens, decoded.cached_tokens):
        pa.array([counted], pa.int32())


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, len(BODY))))
def test_what_a_body_says_does_not_depend_on_how_it_came(cuts: set[int]) -> None:
    split = pieces(BODY, cuts)
    decoded = decode_answer(list(range(len(split))), split)
    assert (decoded.completion, decoded.chunk_tokens, decoded.output_tokens) == (
        completion_text(4),
        [1] * 4,
        4,
    )
    assert (decoded.problem, decoded.finish_reason) == (None, "stop")
    assert decoded.generated_ns == decoded.chunk_ns[-1]


NO_COMPLETION = {
    "half a document": b'{"choices": [{"text": "a',
    "an unclosed list": b"[1",
    "choices that are no list": b'{"choices": {"text": "a"}}',
    "a choice that is no object": b'{"choices": ["a"]}',
    "text that is a list": b'{"choices": [{"text": ["a"]}]}',
    "text that is a number": b'{"choices": [{"text": 5}]}',
    "two documents": b'{"choices":[]} {"choices":[]}',
}


@pytest.mark.parametrize("name", NO_COMPLETION)
def test_an_event_that_is_no_completion_is_named_and_what_came_before_is_kept(name: str) -> None:
    decoded = decoded_of(event("a", tokens=1), NO_COMPLETION[name], event("b", tokens=2))
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
    assert decoded_of(*data, b"[DONE]").problem is not None


HEARTBEATS = {
    "an empty object": b"{}",
    "a word": b"ping",
    "null": b"null",
    "an object of a proxy": b'{"type": "ping", "at": "2026-11-26"}',
    "no choices": b'{"choices": null, "usage": null, "error": null}',
    "empty choices": b'{"choices": [], "prompt_filter_results": []}',
    "an error that is empty": b'{"error": {}, "choices": []}',
    "an error of nulls": b'{"error": {"message": null, "code": null}, "choices": []}',
    "a role": b'{"choices": [{"index": 0, "finish_reason": null}]}',
    "a text that is null": b'{"choices": [{"text": null}]}',
    "a usage of the wrong kind": b'{"choices": [], "usage": "none"}',
    "a count beyond all bounds": b'{"choices": [], "usage": {"completion_tokens": 99999999999}}',
    "a count below none": b'{"choices": [], "usage": {"completion_tokens": -1}}',
    "a count that is not whole": b'{"choices": [], "usage": {"completion_tokens": 1.5}}',
    "a count that is true": b'{"choices": [], "usage": {"completion_tokens": true}}',
    "logprobs of no number": b'{"choices": [{"text": "", "logprobs": {"token_logprobs": [-Infinity, NaN]}}]}',
    "a deep document": b'{"choices": [], "x": ' + b"[" * 400 + b"]" * 400 + b"}",
    "an index that is null": b'{"choices": [{"text": "", "index": null}]}',
}


@pytest.mark.parametrize("name", HEARTBEATS)
def test_an_odd_event_that_brings_nothing_takes_nothing(name: str) -> None:
    good = [event("a", tokens=1), event("b", "stop", tokens=2)]
    assert decoded_of(good[0], HEARTBEATS[name], good[1]) == dataclasses.replace(
        decoded_of(good[0], b"{}", good[1]), aside=decoded_of(good[0], HEARTBEATS[name], good[1]).aside
    )
    decoded = decoded_of(HEARTBEATS[name], *good, HEARTBEATS[name])
    assert (decoded.completion, decoded.chunk_ns, decoded.chunk_tokens) == ("ab", [2, 3], [1, 1])
    assert (decoded.output_tokens, decoded.finish_reason, decoded.problem) == (2, "stop", None)


ERRORS = {
    "an object": (b'{"error": {"message": "out of memory"}}', b"", '{"message":"out of memory"}'),
    "a string": (b'{"error": "out of memory", "error_type": "overloaded"}', b"", "out of memory"),
    "beside a choice": (
        b'{"choices": [{"text": "", "finish_reason": "error"}], "error": {"code": 502}}',
        b"",
        "502",
    ),
    "vLLM's older form": (b'{"object": "error", "message": "boom", "code": 500}', b"", "boom"),
    "a named event": (b'{"message": "boom"}', b"error", "boom"),
    "a named event of words": (b"Internal Server Error", b"error", "Internal Server Error"),
    "a named event of a string": (b'"boom"', b"error", "boom"),
    "with half a character": (b'{"error": "\\ud83d \xff boom"}', b"", "boom"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_event_is_told_in_the_servers_words(kind: str) -> None:
    data, name, words = ERRORS[kind]
    decoded = decoded_of(event("a"), data, name=name)
    assert decoded.problem is not None
    assert decoded.problem.startswith("the server sent an error: ")
    assert words in decoded.problem
    decoded.problem.encode()
    assert decoded.completion == "a"


def test_the_chunks_of_a_chat_are_named() -> None:
    chat = b'{"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}'
    assert "choices[].delta" in str(decoded_of(chat).problem)
    split = [b"data: " + chat + b"\n\n", b"data: [DONE]\n\n"]
    assert "choices[].delta" in str(decode_answer([1, 2], split).problem)


def test_halves_of_characters_are_put_together() -> None:
    def text(inside: bytes, finish: bytes = b"null") -> bytes:
        return b'{"choices": [{"text": "' + inside + b'", "finish_reason": ' + finish + b"}]}"

    escaped, as_bytes = [b"a\\ud83d", b"\\ude00"], [b"\xe7\x99", b"\xba"]
    decoded = decoded_of(*map(text, escaped), *map(text, as_bytes), text(b"\\ud800", b'"stop"'))
    assert decoded.completion == "a\U0001f600\u767a\ufffd"
    assert len(decoded.chunk_ns) == 5


def indexed(text: str, index: int, finish: str | None = None) -> bytes:
    """An event of a completion with several answers."""
    return json.dumps({"choices": [{"text": text, "index": index, "finish_reason": finish}]}).encode()


def test_one_of_several_answers_counts() -> None:
    both = [indexed("b", 1), indexed("a", 0), indexed("c", 0, "stop"), indexed("d", 1, "length")]
    decoded = decoded_of(*both)
    assert (decoded.completion, decoded.finish_reason, decoded.chunk_ns) == ("ac", "stop", [2, 3])
    together = [{"text": text, "index": at, "finish_reason": "stop"} for at, text in enumerate("ab")]
    assert decoded_of(json.dumps({"choices": together}).encode()).completion == "a"


def test_an_index_that_goes_up_with_each_token_is_one_answer() -> None:
    decoded = decoded_of(indexed("a", 0), indexed("b", 1), indexed("c", 2), indexed("", 0, "stop"))
    assert (decoded.completion, decoded.chunk_ns, decoded.finish_reason) == ("abc", [1, 2, 3], "stop")


@pytest.mark.parametrize(
    ("said", "finish"),
    [({"type": "stop", "matched": 0}, "stop"), ("", None), (None, None), ("eos", "eos"), (3, "3")],
)
def test_a_finish_reason_is_taken_as_it_is_written(said: object, finish: str | None) -> None:
    data = json.dumps({"choices": [{"text": "a", "finish_reason": said}]}).encode()
    assert decoded_of(data).finish_reason == finish


def test_nothing_is_generated_after_the_last_text_token_or_finish_reason() -> None:
    end = b'{"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 2}}'
    assert decoded_of(event("a"), event("b", "stop"), end, b"[DONE]", b"{}").generated_ns == 2
    assert decoded_of(event("a"), event("b"), event("", "stop"), end, b"[DONE]").generated_ns == 3
    assert decoded_of(event("", "stop"), end).generated_ns == 1
    assert decoded_of(end).generated_ns is None


def test_tokens_of_each_chunk_are_the_growth_of_the_servers_count() -> None:
    decoded = decode_events(
        [
            StreamEvent(1, event("ab", tokens=2)), StreamEvent(2, event("c", tokens=3)),
            StreamEvent(5, event("", "stop", tokens=4)),
        ]
    )  # fmt: skip
    assert (decoded.chunk_ns, decoded.chunk_tokens, decoded.output_tokens) == ([1, 2, 5], [2, 1, 1], 4)
    assert (decoded.completion, decoded.finish_reason) == ("abc", "stop")


def test_tokens_of_each_chunk_are_null_where_the_server_counts_only_at_the_end() -> None:
    end = b'{"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3}}'
    decoded = decoded_of(event("ab"), event("c", "stop"), end, b"[DONE]")
    assert (decoded.chunk_ns, decoded.chunk_tokens, decoded.output_tokens) == ([1, 2], None, 3)


def test_an_event_without_text_and_tokens_is_no_chunk() -> None:
    decoded = decoded_of(event("", tokens=0), event("a", tokens=1), event("", "stop", tokens=1))
    assert (decoded.chunk_ns, decoded.chunk_tokens) == ([2], [1])
    assert decoded.finish_reason == "stop"


def test_the_text_is_the_servers() -> None:
    decoded = decoded_of(*DATA)
    assert decoded.completion == completion_text(4)
    assert (decoded.prompt_tokens, decoded.cached_tokens, decoded.output_tokens) == (11, 4, 4)
    assert decoded.chunk_tokens == [1, 1, 1, 1]


def body_pieces(*events: bytes) -> list[bytes]:
    """A body as a server sends it: each event in a piece of its own."""
    return [b"data: " + one + b"\n\n" for one in [*events, b"[DONE]"]]


END = b'{"choices": [], "usage": {"completion_tokens": 2}}'
AS_USUAL_BUT = {
    "nothing": (event("a", tokens=1), event("b", "stop", tokens=2), END),
    "another total": (event("a", tokens=1), event("b", "stop", tokens=2), END.replace(b"2", b"1")),
    "a total of each chunk's own counts": (event("a", tokens=1), event("b", "stop", tokens=1), END),
    "a second answer": (indexed("a", 0, "stop"), indexed("b", 1, "stop"), END),
    "an error in the old form": (event("a", tokens=1), b'{"object":"error","message":"boom"}', END),
    "half a character": (
        event("a", tokens=1),
        b'{"choices":[{"text":"\\ud83d"}],"usage":{"completion_tokens":2}}',
        END,
    ),
    "a null text": (event("a", tokens=2), b'{"choices":[{"text":null,"finish_reason":"stop"}]}', END),
    "a float": (
        b'{"choices":[{"text":"a"}],"usage":{"completion_tokens":1.0}}',
        event("b", "stop", tokens=2),
        END,
    ),
    "chunks of a chat": (b'{"choices":[{"delta":{"content":"a"}}],"usage":{"completion_tokens":1}}', END),
    "no count of chunks": (event("a"), event("b", "stop"), END),
}


@pytest.mark.parametrize("kind", AS_USUAL_BUT)
def test_a_body_read_at_once_says_what_its_events_say_one_by_one(kind: str) -> None:
    events = AS_USUAL_BUT[kind]
    at_once = body_pieces(*events)
    assert decode_answer([1, 2, 3, 4][: len(at_once)], at_once) == decoded_of(*events, b"[DONE]")
