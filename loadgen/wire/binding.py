"""``wire.c`` as Python calls it."""

from __future__ import annotations

import ctypes
import os
from array import array
from ctypes import byref, c_char_p, c_int, c_int64, c_uint32, c_void_p, string_at
from pathlib import Path
from typing import NamedTuple

_NEWS_AT_ONCE = 256
_PIECE_BYTES = 16


class _Taken(ctypes.Structure):
    """``struct taken``."""

    _fields_ = (
        ("bytes", c_void_p), ("length", c_int64), ("pieces", c_void_p), ("piece_count", c_int64),
        ("sent_ns", c_int64), ("closed_ns", c_int64), ("error", c_int64),
    )  # fmt: skip


class TlsFunctions(ctypes.Structure):
    """``struct tls``: the addresses of OpenSSL's functions."""

    _fields_ = (
        ("read", c_void_p), ("write", c_void_p), ("get_error", c_void_p), ("clear_errors", c_void_p),
    )  # fmt: skip


class Received(NamedTuple):
    """Hold what a slot received since it was last asked, and how it stands. Instants in nanoseconds."""

    data: bytes
    times_ns: list[int]
    """When each piece of ``data`` arrived."""
    ends: list[int]
    """The place in ``data`` at which each piece ends."""
    sent_ns: int
    """0: the request was not sent yet."""
    closed_ns: int
    """0: the connection is open."""
    error: int
    """errno of a lost connection; 0: none, or closed in order."""


class Wire:
    """A thread that sends and receives. A slot is a connected, non-blocking socket that was handed over."""

    def __init__(self, library: Path) -> None:
        """Start the thread.

        Raises:
            OSError: no descriptors, threads or memory are left.
        """
        self._c = _load(library)
        self._wire: int | None = self._c.wire_open()
        if not self._wire:
            raise OSError(ctypes.get_errno(), f"wire_open: {os.strerror(ctypes.get_errno())}")
        self._numbers = (c_uint32 * _NEWS_AT_ONCE)()
        self._taken = _Taken()
        self._into = byref(self._taken)

    @property
    def news_fd(self) -> int:
        """Return a descriptor that is readable while ``news`` has something to say."""
        return int(self._c.wire_news_fd(self._wire))

    def speak_tls(self, functions: TlsFunctions) -> None:
        """Know how TLS is spoken, before the first slot that speaks it."""
        self._c.wire_speak_tls(self._wire, byref(functions))

    def add(self, fd: int, tls: int | None = None) -> int:
        """Hand a socket over; returns its slot. ``tls``: OpenSSL's connection on it, after the handshake.

        Raises:
            OSError: it can't be watched.
        """
        slot = int(self._c.wire_add(self._wire, fd, tls))
        if slot < 0:
            raise OSError(-slot, os.strerror(-slot))
        return slot

    def send(self, slot: int, request: bytes, due_ns: int) -> bool:
        """Send at an instant, at once where that is past; False where the connection is closed already."""
        return bool(self._c.wire_send(self._wire, slot, request, len(request), due_ns) == 0)

    def news(self) -> list[int]:
        """Return slots that want to be asked: an answer may be whole, or the connection is closed."""
        count = self._c.wire_news(self._wire, self._numbers, _NEWS_AT_ONCE)
        return self._numbers[:count]

    def take(self, slot: int) -> Received:
        """Hand out what a slot received, once."""
        taken = self._taken
        self._c.wire_take(self._wire, slot, self._into)
        pieces = array(
            "q", string_at(taken.pieces, taken.piece_count * _PIECE_BYTES) if taken.piece_count else b""
        )
        data = string_at(taken.bytes, taken.length) if taken.length else b""
        return Received(
            data, pieces[0::2].tolist(), pieces[1::2].tolist(), taken.sent_ns, taken.closed_ns, taken.error
        )

    def remove(self, slot: int) -> None:
        """Give a socket back: nothing is read or sent any more."""
        if self._wire:
            self._c.wire_remove(self._wire, slot)

    def close(self) -> None:
        """End the thread; sockets stay with who opened them."""
        if self._wire:
            self._c.wire_close(self._wire)
            self._wire = None


def _load(library: Path) -> ctypes.CDLL:
    c = ctypes.CDLL(str(library), use_errno=True)
    c.wire_open.restype = c_void_p
    c.wire_news_fd.argtypes = [c_void_p]
    c.wire_speak_tls.argtypes, c.wire_speak_tls.restype = [c_void_p, c_void_p], None
    c.wire_add.argtypes, c.wire_add.restype = [c_void_p, c_int, c_void_p], c_int64
    c.wire_send.argtypes = [c_void_p, c_uint32, c_char_p, c_int64, c_int64]
    c.wire_news.argtypes, c.wire_news.restype = [c_void_p, c_void_p, c_int64], c_int64
    c.wire_take.argtypes, c.wire_take.restype = [c_void_p, c_uint32, c_void_p], None
    c.wire_remove.argtypes, c.wire_remove.restype = [c_void_p, c_uint32], None
    c.wire_close.argtypes, c.wire_close.restype = [c_void_p], None
    return c
