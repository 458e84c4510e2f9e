"""TLS for the wire: OpenSSL's handshake here, its records in ``wire.c``, where the bytes come.

Python's ``ssl`` keeps its connections to itself, so that a thread outside Python cannot read on them. This takes the
same library, trusts what ``ssl.create_default_context()`` trusts, and asks the same of a certificate.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_long, c_uint, c_uint64, c_ulong, c_void_p

from loadgen.wire.binding import TlsFunctions
from starwatt_errors import LoadError

_LIBRARIES = ("libssl.so.3", "libssl.so.1.1")
_WANTS_TO_READ, _WANTS_TO_WRITE, _SYSTEM_ERROR = 2, 3, 5
_SET_MODE, _SET_READ_AHEAD, _SET_SERVER_NAME, _SET_LEAST_VERSION = 33, 41, 55, 123
_PARTIAL_WRITES, _MOVING_BUFFER = 1, 2
_NO_PARTIAL_WILDCARDS = 4
_NO_RENEGOTIATION = 1 << 30
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "TLS_client_method": (c_void_p, []),
    "SSL_CTX_new": (c_void_p, [c_void_p]),
    "SSL_CTX_free": (None, [c_void_p]),
    "SSL_CTX_ctrl": (c_long, [c_void_p, c_int, c_long, c_void_p]),
    "SSL_CTX_set_options": (c_uint64, [c_void_p, c_uint64]),
    "SSL_CTX_set_verify": (None, [c_void_p, c_int, c_void_p]),
    "SSL_CTX_load_verify_locations": (c_int, [c_void_p, c_char_p, c_char_p]),
    "SSL_CTX_get0_param": (c_void_p, [c_void_p]),
    "SSL_new": (c_void_p, [c_void_p]),
    "SSL_free": (None, [c_void_p]),
    "SSL_ctrl": (c_long, [c_void_p, c_int, c_long, c_void_p]),
    "SSL_set_fd": (c_int, [c_void_p, c_int]),
    "SSL_set_connect_state": (None, [c_void_p]),
    "SSL_set_hostflags": (None, [c_void_p, c_uint]),
    "SSL_set1_host": (c_int, [c_void_p, c_char_p]),
    "SSL_get0_param": (c_void_p, [c_void_p]),
    "SSL_do_handshake": (c_int, [c_void_p]),
    "SSL_shutdown": (c_int, [c_void_p]),
    "SSL_get_error": (c_int, [c_void_p, c_int]),
    "SSL_get_verify_result": (c_long, [c_void_p]),
    "SSL_read": (c_int, [c_void_p, c_void_p, c_int]),
    "SSL_write": (c_int, [c_void_p, c_void_p, c_int]),
    "X509_VERIFY_PARAM_set_flags": (c_int, [c_void_p, c_ulong]),
    "X509_VERIFY_PARAM_set1_ip_asc": (c_int, [c_void_p, c_char_p]),
    "X509_verify_cert_error_string": (c_char_p, [c_long]),
    "ERR_clear_error": (None, []),
    "ERR_get_error": (c_ulong, []),
    "ERR_reason_error_string": (c_char_p, [c_ulong]),
}


class Secured:
    """OpenSSL's connection on a socket, after the handshake."""

    def __init__(self, library: ctypes.CDLL, pointer: int) -> None:
        self._c = library
        self.pointer = pointer

    def close(self) -> None:
        """Say goodbye where the socket takes it at once, and free it; nothing else may use it any more."""
        if self.pointer:
            self._c.ERR_clear_error()
            self._c.SSL_shutdown(self.pointer)
            self._c.SSL_free(self.pointer)
            self.pointer = 0


class Tls:
    """The settings that connections to one host share: whom they trust, and the name that they ask for."""

    def __init__(self, host: str) -> None:
        """Find OpenSSL, and what this machine trusts (``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, as everywhere).

        Raises:
            LoadError: no OpenSSL is found, or it can't be used.
        """
        self._c = c = openssl()
        self._host = host
        as_python = ssl.create_default_context()
        self._context: int = c.SSL_CTX_new(c.TLS_client_method())
        if not self._context:
            raise LoadError("OpenSSL makes no context")
        c.SSL_CTX_ctrl(self._context, _SET_LEAST_VERSION, int(ssl.TLSVersion.TLSv1_2), None)
        c.SSL_CTX_ctrl(self._context, _SET_MODE, _PARTIAL_WRITES | _MOVING_BUFFER, None)
        c.SSL_CTX_ctrl(self._context, _SET_READ_AHEAD, 1, None)
        c.SSL_CTX_set_options(self._context, int(as_python.options) | _NO_RENEGOTIATION)
        c.SSL_CTX_set_verify(self._context, int(as_python.verify_mode), None)
        c.X509_VERIFY_PARAM_set_flags(c.SSL_CTX_get0_param(self._context), int(as_python.verify_flags))
        trusted = ssl.get_default_verify_paths()
        c.SSL_CTX_load_verify_locations(self._context, _path(trusted.cafile), _path(trusted.capath))

    @property
    def functions(self) -> TlsFunctions:
        """Return what ``wire.c`` calls."""
        names = ("SSL_read", "SSL_write", "SSL_get_error", "ERR_clear_error")
        return TlsFunctions(*(ctypes.cast(getattr(self._c, name), c_void_p) for name in names))

    async def secured(self, connected: socket.socket) -> Secured:
        """Shake hands on a connected, non-blocking socket.

        Raises:
            OSError: the server's certificate does not hold, or it speaks no TLS that we speak.
        """
        c = self._c
        secured = Secured(c, c.SSL_new(self._context))
        try:
            self._ask_for_the_host(secured.pointer)
            c.SSL_set_fd(secured.pointer, connected.fileno())
            c.SSL_set_connect_state(secured.pointer)
            while (wanted := self._shaken(secured.pointer)) is not None:
                await _ready(connected, to_write=wanted == _WANTS_TO_WRITE)
        except BaseException:
            c.SSL_free(secured.pointer)
            raise
        return secured

    def _shaken(self, pointer: int) -> int | None:
        """Go on with the handshake: what it waits for, or None where it is done."""
        c = self._c
        c.ERR_clear_error()
        ctypes.set_errno(0)
        result = c.SSL_do_handshake(pointer)
        if result == 1:
            return None
        wanted = int(c.SSL_get_error(pointer, result))
        if wanted not in (_WANTS_TO_READ, _WANTS_TO_WRITE):
            raise self._failure(pointer, wanted)
        return wanted

    def _ask_for_the_host(self, pointer: int) -> None:
        c = self._c
        if _is_address(self._host):
            named = c.X509_VERIFY_PARAM_set1_ip_asc(c.SSL_get0_param(pointer), self._host.encode())
        else:
            name = self._host.encode("idna")
            c.SSL_set_hostflags(pointer, _NO_PARTIAL_WILDCARDS)
            named = c.SSL_set1_host(pointer, name) and c.SSL_ctrl(pointer, _SET_SERVER_NAME, 0, name)
        if not named:
            raise ssl.SSLError(1, f"{self._host!r} is no name that a certificate can have")

    def _failure(self, pointer: int, why: int) -> OSError:
        c = self._c
        not_verified = c.SSL_get_verify_result(pointer)
        if not_verified:
            reason = c.X509_verify_cert_error_string(not_verified).decode()
            return ssl.SSLCertVerificationError(1, f"certificate verify failed: {reason}")
        if why == _SYSTEM_ERROR and (number := ctypes.get_errno()):
            return OSError(number, os.strerror(number))
        reason = c.ERR_reason_error_string(c.ERR_get_error())
        return ssl.SSLError(1, f"TLS handshake: {reason.decode() if reason else 'closed by the server'}")

    def close(self) -> None:
        """Free it; connections that are open stay."""
        self._c.SSL_CTX_free(self._context)
        self._context = 0


def openssl() -> ctypes.CDLL:
    """Return the machine's OpenSSL, 1.1.1 or later.

    Raises:
        LoadError: there is none.
    """
    for name in (*_LIBRARIES, ctypes.util.find_library("ssl")):
        try:
            library = ctypes.CDLL(name, use_errno=True) if name else None
            for function, (result, arguments) in _SIGNATURES.items() if library else ():
                getattr(library, function).restype = result
                getattr(library, function).argtypes = arguments
        except (OSError, AttributeError):  # not here, or older than 1.1.1
            continue
        if library is not None:
            return library
    raise LoadError("no OpenSSL library is installed (libssl.so.3, or libssl.so.1.1)")


async def _ready(connected: socket.socket, *, to_write: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add: Callable[..., object] = loop.add_writer if to_write else loop.add_reader
    remove: Callable[..., object] = loop.remove_writer if to_write else loop.remove_reader
    add(connected, _done, ready)
    try:
        await ready
    finally:
        remove(connected)


def _done(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _path(path: str | None) -> bytes | None:
    return None if path is None else os.fsencode(path)
