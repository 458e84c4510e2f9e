"""What a server says for itself is read, told and no longer than it needs to be."""

from __future__ import annotations

import gzip
import zlib

import pytest

from loadgen.answers.words import UnreadableBodyError, beginning, decompressed, http_error_words


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, b"words" * 9),
        ("identity", b"words" * 9),
        ("gzip", gzip.compress(b"words" * 9)),
        (" X-GZIP ", gzip.compress(b"words" * 9)),
        ("deflate", zlib.compress(b"words" * 9)),
        ("deflate", zlib.compress(b"words" * 9, wbits=-15)),
        ("gzip", gzip.compress(b"words" * 4) + gzip.compress(b"words" * 5) + b"\0\0\0"),
        ("identity, gzip", gzip.compress(b"words" * 9)),
        ("deflate, gzip", gzip.compress(zlib.compress(b"words" * 9))),
        ("none", b"words" * 9),
        ("UTF-8", b"words" * 9),
    ],
)
def test_each_piece_of_a_body_is_what_it_was_before(encoding: str | None, body: bytes, size: int) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    plain = decompressed(pieces, encoding)
    assert len(plain) == len(pieces)
    assert b"".join(plain) == b"words" * 9


@pytest.mark.parametrize(
    ("encoding", "says"), [("br", "(br)"), ("gzip, br", "(gzip, br)"), ("gzip", "(gzip)")]
)
def test_what_is_not_read_is_named(encoding: str, says: str) -> None:
    with pytest.raises(UnreadableBodyError) as caught:
        decompressed([b"no such thing"], encoding)
    assert says in str(caught.value)


def test_a_refusal_says_where_else_and_why() -> None:
    assert http_error_words(307, {"location": "/v2"}, b" moved\n") == "Location: /v2; moved"
    assert http_error_words(503, {}, b"") == "HTTP 503, without a body"
    assert http_error_words(500, {"content-encoding": "br"}, b"\xff") == (
        "the body is compressed (br), which nobody asked for"
    )
    assert len(http_error_words(500, {"location": "x" * 3000}, b"y" * 3000)) == 2000


def test_the_beginning_of_a_body_is_one_line() -> None:
    assert beginning(b"<html>\r\n  <b>\xff" + b"x" * 1000) == "<html> <b>\ufffd" + "x" * 186
