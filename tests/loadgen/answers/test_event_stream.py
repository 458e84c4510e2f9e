"""The events of a body: however its bytes are split, and in all the forms of the standard and some outside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.answers.event_stream import DONE, ERROR, STRAY, StreamEvent, cut_events
from tests.loadgen.answers.test_sse import BODY, DATA, pieces

A, B = b'{"a":1}', b'{"b":2}'
FORMS: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]] = {
    "as usual": (b"data: " + A + b"\n\ndata: " + B + b"\n\n", [(A, b""), (B, b"")]),
    "without a space": (b"data:" + A + b"\n\n", [(A, b"")]),
    "CRLF": (b"data: " + A + b"\r\n\r\ndata: " + B + b"\r\n\r\n", [(A, b""), (B, b"")]),
    "a lone CR": (b"data: " + A + b"\r\rdata: " + B + b"\r\r", [(A, b""), (B, b"")]),
    "all three": (b"data: " + A + b"\r\n\ndata: " + B + b"\r\n\r", [(A, b""), (B, b"")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: " + A + b"\n\n", [(A, b"")]),
    "a byte order mark and CRLF": (b"\xef\xbb\xbfdata: " + A + b"\r\n\r\n", [(A, b"")]),
    "comments": (b": ping\n\n:\n" + b"data: " + A + b"\n: x\n\n", [(A, b"")]),
    "other fields": (b"retry: 3\nid: 7\nid\nevent: message\ndata: " + A + b"\n\n", [(A, b"message")]),
    "a name for one event alone": (
        b"event: error\ndata: " + A + b"\n\ndata: " + B + b"\n\n",
        [(A, ERROR), (B, b"")],
    ),
    "a name without data": (b"event: ping\n\ndata: " + A + b"\n\n", [(A, b"")]),
    "data that is empty": (b"data:\n\ndata\n\ndata: " + A + b"\n\n", [(A, b"")]),
    "a document over several lines": (b'data: {\ndata:  "a": 1\ndata: }\n\n', [(b'{\n"a": 1\n}', b"")]),
    "no blank lines": (
        b"data: " + A + b"\ndata: " + B + b"\ndata: [DONE]\n",
        [(A, b""), (B, b""), (DONE, b"")],
    ),
    "no blank line before the end": (b"data: " + A + b"\n\ndata: [DONE]\n", [(A, b""), (DONE, b"")]),
    "no line end at all": (b"data: " + A + b"\n\ndata: [DONE]", [(A, b""), (DONE, b"")]),
    "more after the end": (b"data: [DONE]\n\ndata: " + A + b"\n\n", [(DONE, b""), (A, b"")]),
    "llama.cpp's field of errors": (b"error: " + A + b"\n\n", [(A, ERROR)]),
    "a document outside any event": (b"data: " + A + b"\n\n" + B + b"\n", [(A, b""), (B, STRAY)]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("form", FORMS)
def test_events_are_those_of_the_standard_and_of_what_servers_make_of_it(form: str) -> None:
    body, events = FORMS[form]
    for split in ([body], [body[at : at + 1] for at in range(len(body))]):
        assert [(event.data, event.name) for event in cut_events([1] * len(split), split)] == events


@given(st.sets(st.integers(0, len(BODY))))
def test_events_are_cut_the_same_however_the_stream_is_split(cuts: set[int]) -> None:
    split = pieces(BODY, cuts)
    events = cut_events(list(range(len(split))), split)
    assert [event.data for event in events] == DATA
    for number, data, _ in events:  # the piece that brought the last byte of the line
        until = b"".join(split[: number + 1])
        assert data + b"\n" in until.replace(b"\r\n", b"\n")
        assert data + b"\n" not in b"".join(split[:number]).replace(b"\r\n", b"\n")


def test_an_event_of_several_lines_is_there_with_its_last() -> None:
    split = [b"data: {\n", b'data: "a": 1\ndata: }', b"\n", b"\n"]
    assert cut_events([1, 2, 3, 4], split) == [StreamEvent(3, b'{\n"a": 1\n}')]
