"""Find what a server says for itself where its answer is no stream of events."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

LONGEST_WORDS = 200
_LONGEST_ERROR = 2000
_ANY_HEADER = 47  # zlib's or gzip's, whichever is there
_NO_HEADER = -15
_GZIP = b"\x1f"  # how a member begins; the padding of others is zeros
_ZLIBS = ("gzip", "x-gzip", "deflate")
_NOT_READ = ("br", "brotli", "zstd", "compress", "x-compress", "dcb", "dcz")
"""Every other name says nothing of a compression: some servers put a character set there, or ``none``."""


class UnreadableBodyError(Exception):
    """A body is compressed in a way that is not read here, or is damaged."""


def decompressed(pieces: Sequence[bytes], encoding: str | None) -> list[bytes]:
    """Return each piece of a body as it was before it was compressed: gzip and deflate, though nobody asked for them.

    Raises:
        UnreadableBodyError: another encoding, or damaged.
    """
    name = (encoding or "").strip().lower()
    encodings = [coding.strip() for coding in name.split(",")]
    if any(coding in _NOT_READ for coding in encodings):
        raise UnreadableBodyError(f"the body is compressed ({name}), which nobody asked for")
    plain = list(pieces)
    for _ in filter(_ZLIBS.__contains__, encodings):
        plain = _inflated(plain, name)
    return plain


def _inflated(pieces: list[bytes], name: str) -> list[bytes]:
    failure = ""
    for header in (_ANY_HEADER, _NO_HEADER):
        stream = _Inflating(header)
        try:
            return [stream.take(piece) for piece in pieces]
        except zlib.error as error:
            failure = failure or str(error)
    raise UnreadableBodyError(f"the body is compressed ({name}) and cannot be read: {failure}")


class _Inflating:
    """Members of a compressed body, one after the other (RFC 1952, 2.2): a server may pack each event by itself."""

    def __init__(self, header: int) -> None:
        self._header = header
        self._member = zlib.decompressobj(header)

    def take(self, piece: bytes) -> bytes:
        """Return what a piece adds; what follows the last member and is none is left out, as by gzip."""
        plain = b""
        while piece:
            if self._member.eof:
                if not piece.startswith(_GZIP):
                    break
                self._member = zlib.decompressobj(self._header)
            plain += self._member.decompress(piece)
            piece = self._member.unused_data
        return plain


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
