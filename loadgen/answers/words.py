"""Find what a server says for itself where its answer is no stream of events."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

LONGEST_WORDS = 200
_LONGEST_ERROR = 2000
_ANY_HEADER = 47  # zlib's or gzip's, whichever is there
_NO_HEADER = -15


class UnreadableBodyError(Exception):
    """A body is compressed in a way that is not read here, or is damaged."""


def decompressed(pieces: Sequence[bytes], encoding: str | None) -> list[bytes]:
    """Return each piece of a body as it was before it was compressed: gzip and deflate, though nobody asked for them.

    Raises:
        UnreadableBodyError: another encoding, or damaged.
    """
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return list(pieces)
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnreadableBodyError(f"the body is compressed ({name}), which nobody asked for")
    failure = ""
    for header in (_ANY_HEADER, _NO_HEADER):
        stream = zlib.decompressobj(header)
        try:
            return [stream.decompress(piece) for piece in pieces]
        except zlib.error as error:
            failure = failure or str(error)
    raise UnreadableBodyError(f"the body is compressed ({name}) and cannot be read: {failure}")


def http_error_words(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Say why the server refuses, in its own words: where it sends us instead, and its body's beginning."""
    try:
        body = b"".join(decompressed([body], headers.get("content-encoding")))
    except UnreadableBodyError as error:
        body = str(error).encode()
    said = [f"Location: {headers['location']}"] if "location" in headers else []
    if text := body.decode(errors="replace").strip():
        said.append(text)
    return "; ".join(said)[:_LONGEST_ERROR] or f"HTTP {status}, without a body"


def beginning(body: bytes) -> str:
    """Return the first words of a body, on one line."""
    return " ".join(body[:LONGEST_WORDS].decode(errors="replace").split())
