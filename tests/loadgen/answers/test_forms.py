"""What servers and proxies really write on the wire: every client makes the right row of it, for its own request."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from tests.loadgen.bytes_of import (
    CHUNKED,
    DONE,
    HEAD,
    LAST,
    chunk,
    event,
    good,
    of_length,
    refused,
    stream,
    token,
    total,
)
from tests.loadgen.raw_server import CLIENTS, RawServer, Step, Then, request_of, rows_of, without_times

PROMPTS = ("first", "second")
CLOSED = HEAD + b"Connection: close\r\n\r\n"
NOT_AIOHTTP = ("wire", "httptools", "locust")
"""Half a head that nobody asked for is not seen by aiohttp, which takes the next answer for no HTTP then."""
NO_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: "
Form = Callable[[str], Sequence[Step]]


class Case(NamedTuple):
    """An answer to a prompt that repeats it, and what is made of it."""

    form: Form
    status: str = "ok"
    http_status: int | None = 200
    says: str | None = None
    counted: bool = True
    """The tokens are known, one a character."""
    kept: bool | None = True
    """Whether the connection serves the next request; None: as each client likes."""
    clients: tuple[str, ...] = CLIENTS


def body(text: str) -> bytes:
    """A whole body without its framing."""
    return b"".join(good(text))


def bytewise(data: bytes) -> list[bytes]:
    """Each byte a write."""
    return [data[at : at + 1] for at in range(len(data))]


def deflated(data: bytes) -> bytes:
    """Without the header that the name promises, as some do."""
    stream_of = zlib.compressobj(wbits=-15)
    return stream_of.compress(data) + stream_of.flush()


WHOLE: dict[str, Case] = {
    "as usual": Case(lambda text: stream(good(text))),
    "in one write": Case(lambda text: [b"".join(stream(good(text)))]),
    "byte by byte": Case(lambda text: bytewise(b"".join(stream(good(text))))),
    "of stated length": Case(lambda text: [of_length(body(text))]),
    "a chunk for several events": Case(lambda text: stream([b"".join(good(text))])),
    "extensions of chunks": Case(
        lambda text: [CHUNKED, *(chunk(piece, b';a="1"') for piece in good(text)), b"0;b\r\n\r\n"]
    ),
    "trailers": Case(lambda text: stream(good(text), last=b"0\r\nServer-Timing: a;dur=1\r\nX-B: 2\r\n\r\n")),
    "a last chunk of many zeros": Case(lambda text: stream(good(text), last=b"00000000\r\n\r\n")),
    "sizes of chunks in upper case, padded": Case(
        lambda text: [CHUNKED, *(b"%08X\r\n%b\r\n" % (len(piece), piece) for piece in good(text)), LAST]
    ),
    "blanks after the size of a chunk": Case(
        lambda text: [CHUNKED, *(b"%x  \r\n%b\r\n" % (len(piece), piece) for piece in good(text)), LAST]
    ),
    "data that ends like a last chunk": Case(
        lambda text: stream([*good(text)[:1], b": 0\r\n\r\n", *good(text)[1:]])
    ),
    "another case of the coding": Case(
        lambda text: stream(good(text), HEAD + b"TRANSFER-ENCODING: Chunked\r\n\r\n")
    ),
    "the coding's name in another header": Case(
        lambda text: [of_length(body(text), HEAD + b"X-Note: transfer-encoding: chunked\r\n")]
    ),
    "a head of 40 KB": Case(
        lambda text: stream(
            good(text),
            HEAD + b"".join(b"Set-Cookie: %0999d\r\n" % at for at in range(40)) + CHUNKED[len(HEAD) :],
        )
    ),
    "a head without blanks": Case(lambda text: stream(good(text), CHUNKED.replace(b": ", b":"))),
    "early hints": Case(
        lambda text: [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", *stream(good(text))]
    ),
    "several interim answers": Case(
        lambda text: [
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\n\r\n" + b"".join(stream(good(text))),
        ]
    ),
    "an interim answer byte by byte": Case(
        lambda text: [*bytewise(b"HTTP/1.1 100 Continue\r\nX: chunked\r\n\r\n"), *stream(good(text))]
    ),
    "a connection that ends with the answer": Case(lambda text: [CLOSED, body(text), Then.CLOSE], kept=False),
    "a connection that is to be closed": Case(
        lambda text: stream(good(text), HEAD + b"Connection: close\r\n" + CHUNKED[len(HEAD) :]), kept=False
    ),
    "HTTP/1.0": Case(
        lambda text: [b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", body(text), Then.CLOSE],
        kept=False,
    ),
    "HTTP/1.0 that is kept": Case(
        lambda text: [of_length(body(text), b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n")], kept=None
    ),
    "no last chunk, and closed": Case(lambda text: [*stream(good(text), last=b""), Then.CLOSE], kept=False),
    "no last chunk, and reset": Case(lambda text: [*stream(good(text), last=b""), Then.RESET], kept=False),
    "no last chunk, and open": Case(lambda text: [*stream(good(text), last=b""), Then.STAY], kept=False),
    "less than its length, and open": Case(
        lambda text: [HEAD + b"Content-Length: 99999\r\n\r\n", body(text), Then.STAY], kept=False
    ),
    "more after [DONE], and open": Case(
        lambda text: [
            *stream([*(token(letter) for letter in text), token("", None, "stop"), DONE], last=b""),
            chunk(total(len(text))),
            Then.STAY,
        ],
        kept=False,
    ),
    "[DONE] and more at once, and open": Case(
        lambda text: [*stream(good(text)[:-1], last=b""), chunk(DONE + b": bye\n\n"), Then.STAY], kept=False
    ),
    "no length, and open": Case(lambda text: [CLOSED, body(text), Then.STAY], kept=False),
    "no HTTP after [DONE]": Case(
        lambda text: [b"".join(stream(good(text), last=b"zzz\r\n")), Then.CLOSE],
        kept=False,
        clients=NOT_AIOHTTP,
    ),
    "shut on the server's side": Case(lambda text: [*stream(good(text)), Then.SHUT], kept=False),
    "half an answer more": Case(
        lambda text: [b"".join(stream(good(text))) + b"HTTP/1.1 20"], kept=False, clients=NOT_AIOHTTP
    ),
    "an answer more": Case(
        lambda text: [b"".join([*stream(good(text)), *stream(good("another"))])], kept=False
    ),
    "a farewell more": Case(
        lambda text: [b"".join(stream(good(text))) + refused(408, b"", b"Connection: close")], kept=False
    ),
    "no [DONE]": Case(lambda text: stream(good(text)[:-1])),
    "no [DONE] and no length": Case(lambda text: [CLOSED, *good(text)[:-1], Then.CLOSE], kept=False),
    "[DONE] without an end of its line": Case(lambda text: stream([*good(text)[:-1], b"data: [DONE]"])),
    "a count after [DONE]": Case(
        lambda text: stream(
            [*(token(letter) for letter in text), token("", None, "stop"), DONE, total(len(text))]
        )
    ),
    "CRLF": Case(lambda text: stream([piece.replace(b"\n", b"\r\n") for piece in good(text)])),
    "a lone CR": Case(lambda text: stream([piece.replace(b"\n", b"\r") for piece in good(text)])),
    "one line end an event": Case(lambda text: stream([piece[:-1] for piece in good(text)])),
    "comments, ids and names": Case(
        lambda text: stream(
            [b": ping\n\n", *(b"event: message\nid: 1\nretry: 5\n" + piece for piece in good(text))]
        )
    ),
    "heartbeats": Case(lambda text: stream([b"event: ping\ndata: {}\n\n", b"data: ping\n\n", *good(text)])),
    "a byte order mark": Case(lambda text: stream([b"\xef\xbb\xbf" + good(text)[0], *good(text)[1:]])),
    "a role first": Case(lambda text: stream([event({"choices": [{"index": 0, "role": "a"}]}), *good(text)])),
    "gzip": Case(lambda text: [of_length(gzip.compress(body(text)), HEAD + b"Content-Encoding: gzip\r\n")]),
    "gzip of each event by itself": Case(
        lambda text: stream(
            [gzip.compress(piece) for piece in good(text)],
            HEAD + b"Content-Encoding: gzip\r\n" + CHUNKED[len(HEAD) :],
        )
    ),
    "an encoding that is none": Case(
        lambda text: [of_length(body(text), HEAD + b"Content-Encoding: utf-8\r\n")]
    ),
    "other words for [DONE]": Case(lambda text: stream([*good(text)[:-1], b"data: [done]\n\n"])),
    "an error after [DONE]": Case(lambda text: stream([*good(text), event({"error": {"message": "late"}})])),
    "no finish reason yet, in a word": Case(
        lambda text: stream(
            [*(token(one, at, "null") for at, one in enumerate(text, 1)), token("", len(text), "stop"), DONE]
        )
    ),
    "errors that are none in each choice": Case(
        lambda text: stream([piece.replace(b'"index"', b'"error": null, "index"') for piece in good(text)])
    ),
    "control characters as they are": Case(
        lambda text: stream(
            [piece.replace(b'{"choices"', b'{"id": "a\tb\x01", "choices"') for piece in good(text)]
        )
    ),
    "deflate": Case(
        lambda text: [of_length(zlib.compress(body(text)), HEAD + b"content-encoding: Deflate\r\n")]
    ),
    "deflate without its header": Case(
        lambda text: [of_length(deflated(body(text)), HEAD + b"Content-Encoding: deflate\r\n")]
    ),
    "never counted": Case(
        lambda text: stream([*(token(letter) for letter in text), token("", None, "stop"), DONE]),
        counted=False,
    ),
    "fewer counted than came": Case(
        lambda text: stream([*(token(letter) for letter in text), token("", 2, "stop"), total(2), DONE]),
        counted=False,
    ),
    "each chunk counted by itself": Case(
        lambda text: stream([*(token(letter, 1) for letter in text), token("", 0, "stop"), DONE])
    ),
}

BAD: dict[str, Case] = {
    "an error in place of a stream": Case(
        lambda _: [of_length(b'{"error": {"message": "too long"}}', b"HTTP/1.1 200 OK\r\n")],
        "malformed", 200, "too long",
    ),
    "an error of an older kind": Case(
        lambda text: stream([*good(text)[:1], event({"object": "error", "message": "boom"}), DONE]),
        "malformed", 200, "boom",
    ),
    "a named error": Case(
        lambda text: stream([*good(text)[:1], b"event: error\ndata: boom\n\n"]), "malformed", 200, "boom",
    ),
    "a document in place of a stream": Case(
        lambda _: [of_length(b'{"choices": [{"text": "x"}]}', NO_STREAM + b"application/json\r\n")],
        "malformed", 200, 'no stream of events, but application/json: {"choices"',
    ),
    "a page in place of a stream": Case(
        lambda _: [of_length(b"<!doctype html>\n<title>Sign in</title>", NO_STREAM + b"text/html\r\n")],
        "malformed", 200, "no stream of events, but text/html: <!doctype html> <title>Sign in",
    ),
    "lines of JSON in place of a stream": Case(
        lambda text: stream([b'{"response": "%b"}\n' % char.encode() for char in text]), "malformed", 200, '"response"',
    ),
    "nothing": Case(lambda _: [of_length(b"")], "malformed", 200, "without a finish_reason"),
    "a compression that is not read": Case(
        lambda text: [of_length(body(text), HEAD + b"Content-Encoding: br\r\n")], "malformed", 200, "compressed (br)",
    ),
    "a damaged compression": Case(
        lambda text: [of_length(body(text), HEAD + b"Content-Encoding: gzip\r\n")], "malformed", 200, "(gzip)",
    ),
    "chunks of a chat": Case(
        lambda text: stream([event({"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}), DONE]),
        "malformed", 200, "chat",
    ),
    "an engine that gave up": Case(
        lambda text: stream([*good(text)[:1], token("", 1, "abort"), DONE]), "malformed", 200, "abort",
    ),
    "an error of its choice": Case(
        lambda text: stream(
            [*good(text)[:1], event({"choices": [{"finish_reason": "error", "error": {"message": "boom"}}]}), DONE]
        ),
        "malformed", 200, "boom",
    ),
    "an engine without room": Case(
        lambda text: stream([*good(text)[:1], token("", 1, "insufficient_system_resource"), DONE]),
        "malformed", 200, "insufficient_system_resource",
    ),
    "an end that has not come, in a word": Case(
        lambda text: stream([token(text, 9, "null"), DONE]), "malformed", 200, "finish_reason",
    ),
    "an error, and an end in mid-stream": Case(
        lambda text: [CHUNKED, *map(chunk, [*good(text)[:1], event({"error": {"message": "boom"}})]), Then.CLOSE],
        "connection_error", 200, "boom",
    ),
    "an error in place of a stream, and an end in mid-answer": Case(
        lambda _: [NO_STREAM + b"application/json\r\nContent-Length: 999\r\n\r\n" + b'{"error": "boom"}', Then.RESET],
        "connection_error", 200, "boom",
    ),
    "no finish reason": Case(lambda text: stream([token(text, 9), DONE]), "malformed", 200, "finish_reason"),
    "another place": Case(
        lambda _: [refused(307, b"", b"Location: /v2/")], "http_error", 307, "Location: /v2/",
    ),
    "a refusal with words": Case(
        lambda _: [refused(429, b"slow down", b"Retry-After: 1")], "http_error", 429, "slow down",
    ),
    "a refusal in gzip": Case(
        lambda _: [refused(403, gzip.compress(b"denied"), b"Content-Encoding: gzip")], "http_error", 403, "denied",
    ),
    "a refusal without words": Case(lambda _: [refused(503)], "http_error", 503, "HTTP 503"),
    "no content": Case(lambda _: [b"HTTP/1.1 204 No Content\r\n\r\n"], "http_error", 204, "HTTP 204"),
    "a part of the content": Case(
        lambda text: stream(good(text), CHUNKED.replace(b"200", b"206")), "http_error", 206, "data: ",
    ),
    "length and chunks": Case(
        lambda text: stream(good(text), HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "malformed", None, "not HTTP", kept=False,
    ),
    "another protocol": Case(lambda _: [b"SSH-2.0-x\r\n", Then.CLOSE], "malformed", None, "not HTTP"),
    "an end in mid-stream": Case(
        lambda text: [CHUNKED, chunk(good(text)[0]), Then.CLOSE], "connection_error", 200, "connection lost",
    ),
    "less than its length": Case(
        lambda text: [HEAD + b"Content-Length: 99999\r\n\r\n" + good(text)[0], Then.CLOSE],
        "connection_error", 200, "connection lost",
    ),
    "an interim answer alone": Case(
        lambda _: [b"HTTP/1.1 103 Early Hints\r\n\r\n", Then.CLOSE], "connection_error", None, "closed by the server",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    """One for all cases."""
    with RawServer() as raw:
        yield raw


def asked(server: RawServer, case: Case, client: str) -> list[dict[str, Any]]:
    """The rows of two requests on one client, without their times."""
    server.begin(lambda prompt, _: case.form(prompt))
    return [
        without_times(row) for row in rows_of(client, server.url, [request_of(prompt) for prompt in PROMPTS])
    ]


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_is_the_row_of_its_own_request_with_every_client(server: RawServer, name: str) -> None:
    case, rows = WHOLE[name], {}
    for client in case.clients:
        rows[client] = asked(server, case, client)
        if case.kept is not None:
            assert (client, server.used) == (client, 1 if case.kept else 2)
    assert all(same == rows["wire"] for same in rows.values())
    for prompt, row in zip(PROMPTS, rows["wire"], strict=True):
        assert (row["status"], row["error"], row["completion"]) == ("ok", None, prompt)
        assert (row["finish_reason"], row["chunks"]) == ("stop", len(prompt))
        assert row["output_tokens"] == (len(prompt) if case.counted else None)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_answer_is_a_row_that_says_why_with_every_client(server: RawServer, name: str) -> None:
    case, rows = BAD[name], {}
    for client in CLIENTS:
        rows[client] = asked(server, case, client)
        for row in rows[client]:
            assert (client, row["status"], row["http_status"]) == (client, case.status, case.http_status)
            assert case.says is not None
            assert case.says in row["error"]
    both = [[{**row, "error": None} for row in rows[client]] for client in CLIENTS]
    assert both[0] == both[1] == both[2] == both[3]


STRAY = {
    "an answer": b"".join(stream(good("stray"))),
    "a farewell": refused(408),
    "no HTTP": b"?",
    "half a head": b"HTTP/1.1 200",
}


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_comes_between_two_requests_is_no_answer(server: RawServer, client: str, stray: str) -> None:
    if client == "aiohttp" and stray == "half a head":
        pytest.skip("aiohttp does not show it")
    server.begin(lambda prompt, _: stream(good(prompt)))
    requests = [request_of(prompt) for prompt in "abc"]
    rows = rows_of(client, server.url, requests, lambda: server.say(STRAY[stray]))
    assert [row["completion"] for row in rows] == ["a", "b", "c"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_request_that_is_answered_before_it_was_read_is_told_why(client: str) -> None:
    size = 900_000 if client == "aiohttp" else 6_000_000  # aiohttp warns of more
    with RawServer() as early:
        early.answer_at_head = refused(413, b"too large", b"Connection: close")
        rows = rows_of(client, early.url, [request_of("x" * size)] * 2)
    assert {(row["status"], row["http_status"], row["error"]) for row in rows} == {
        ("http_error", 413, "too large")
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_the_end_of_an_answer_is_that_of_its_last_token(server: RawServer, client: str) -> None:
    def late(prompt: str, _: object) -> list[Step]:
        *tokens, count, done = good(prompt)
        return [CHUNKED, *map(chunk, tokens), 0.05, chunk(count), 0.05, chunk(done), 0.05, LAST]

    server.begin(late)
    for row in rows_of(client, server.url, [request_of("ab")] * 2):
        assert row["status"] == "ok"
        assert row["end_ns"] == row["chunk_ns"][-1]
