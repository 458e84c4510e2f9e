"""The client of a Locust process: gevent's sockets, and answers that are read as those of our other clients are."""

from __future__ import annotations

import socket

import gevent
import gevent.socket
import gevent.ssl
from gevent.select import select

from loadgen.answers.continuous_usage import Asking
from loadgen.clients.addresses import in_words
from loadgen.clients.exchange import AFTER_DONE_S, CUT_OFF, Answer, Exchange
from loadgen.planning.payload import Endpoint
from starwatt_errors import reason_of
from traces.clock import now_ns

_READ_AT_ONCE = 1 << 16


class _TooLateError(Exception):
    """A time limit of ours has passed; no OSError, as those are the connection's."""


class GeventClient:
    """The connections of one process to one endpoint."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._tls = gevent.ssl.create_default_context() if endpoint.tls else None
        self._asking = Asking()
        self._idle: list[socket.socket] = []
        self.resent = 0

    def complete(self, request: bytes, exchange: Exchange) -> None:
        """Make one request, head and body; ``exchange`` says what goes wrong. A kill leaves it ``aborted``."""
        for form in self._asking.forms(request, exchange):
            self._complete(form, exchange)

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _complete(self, request: bytes, exchange: Exchange) -> None:
        exchange.sent_ns = exchange.sent_ns or now_ns()
        try:
            with gevent.Timeout(self._timeout_s, _TooLateError):
                self._send(request, exchange)
        except _TooLateError:
            exchange.fail("timeout", f"no complete answer within {self._timeout_s:g} s")
        except OSError as error:
            exchange.fail("connection_error", reason_of(in_words(error)))
        except gevent.GreenletExit:
            exchange.fail("aborted", CUT_OFF)
            raise
        finally:
            exchange.end_ns = exchange.end_ns or now_ns()

    def _send(self, request: bytes, exchange: Exchange) -> None:
        """Send, at most twice: the server may have closed a kept connection while the request was on its way."""
        kept = self._take()
        if kept is not None:
            if self._is_answered(kept, request, exchange):
                return
            self.resent += 1
        if not self._is_answered(self._opened(), request, exchange):
            raise ConnectionError("connection lost before the answer: closed by the server")

    def _take(self) -> socket.socket | None:
        """Return a connection on which nothing has come since its last answer."""
        while self._idle:
            connection = self._idle.pop()
            if not select([connection], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def _opened(self) -> socket.socket:
        host, port = self._endpoint.host, self._endpoint.port
        connection: socket.socket = gevent.socket.create_connection((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return connection
        try:
            secured: socket.socket = self._tls.wrap_socket(connection, server_hostname=host)
        except BaseException:
            connection.close()
            raise
        return secured

    def _is_answered(self, connection: socket.socket, request: bytes, exchange: Exchange) -> bool:
        """Say whether anything of an answer came, which is in ``exchange`` then; keeps the connection where it can."""
        answer, sent_whole = Answer(exchange), False
        try:
            try:
                connection.sendall(request)
                sent_whole = True
            except OSError:  # the server may have said why it wants no more of the request
                pass
            begun = _read(connection, answer)
            if answer.reusable and sent_whole:
                self._idle.append(connection)
                return True
        except BaseException:
            connection.close()
            raise
        connection.close()
        return begun


def _read(connection: socket.socket, answer: Answer) -> bool:
    """Feed an answer until it ends, or little longer than it says [DONE]; whether anything came."""
    begun = False
    while not answer.ended:
        data, error = b"", None
        settling = gevent.Timeout(None if answer.settled_ns is None else AFTER_DONE_S, _TooLateError)
        try:
            with settling:
                data = connection.recv(_READ_AT_ONCE)
        except OSError as lost:
            error = lost
        except _TooLateError:
            if not answer.settle():
                raise
            break
        if data:
            begun = True
            answer.feed(now_ns(), data)
        elif begun:
            answer.cut_off(now_ns(), error)
        else:
            break
    return begun
