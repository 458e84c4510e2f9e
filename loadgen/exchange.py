"""One request and what came back: HTTP taken off by httptools, nothing decoded while a request is under way."""

from __future__ import annotations

from dataclasses import dataclass, field

import httptools

from loadgen.sse import cut_events

LONGEST_ERROR_BODY = 2000


@dataclass(slots=True)
class Exchange:
    """One request and what came back, undecoded. ``status`` is one of ``traces.schemas.STATUSES``."""

    due_ns: int = 0
    """When to send; at once where that is past."""
    sent_ns: int = 0
    end_ns: int = 0
    pieces_ns: list[int] = field(default_factory=list)
    """When each of ``pieces`` arrived."""
    pieces: list[bytes] = field(default_factory=list)
    """The body of a good answer, as the bytes came."""
    http_status: int | None = None
    status: str = "aborted"
    error: str | None = None
    retry_after: str | None = None
    """What the server said of when to come again."""

    @property
    def events(self) -> list[tuple[int, bytes]]:
        """The arrival and the data of each event."""
        return cut_events(self.pieces_ns, self.pieces)


class Answer:
    """The answer to one request: fed with bytes and their arrival, it fills the exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.ended = False
        self.reusable = False
        """Whether another request can follow on the same connection."""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._arrived_ns = 0
        self._good = False
        self._framed = False
        self._error_body = b""

    def feed(self, arrived_ns: int, data: bytes) -> None:
        """Bytes of this connection, as they came."""
        self._arrived_ns = arrived_ns
        if self._parser is None:
            self.reusable = self.reusable and not data  # bytes that nobody asked for: it is out of step
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.reusable = False
            self._finish("malformed", f"not HTTP: {error}")
        if self.ended:
            self._parser = None  # it holds this answer: a cycle that reference counting cannot end

    def cut_off(self, at_ns: int, error: object) -> None:
        """The connection is gone: the answer is whole only where nothing but its end could say so."""
        self._arrived_ns = at_ns
        if error is None and not self._framed and self.exchange.http_status:
            self.on_message_complete()
        self.reusable = False
        self._finish("connection_error", f"connection lost in mid-answer: {error or 'closed by the server'}")
        self._parser = None

    # httptools.HttpResponseParser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note whether the answer says where it ends (RFC 9112, 6.3), and when the server wants to be asked again."""
        self._framed = self._framed or name.lower() in (b"content-length", b"transfer-encoding")
        if name.lower() == b"retry-after":
            self.exchange.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The status stands, whatever happens to the body."""
        if not self.ended and self._parser is not None:
            self.exchange.http_status = self._parser.get_status_code()
            self._good = self.exchange.http_status == 200

    def on_body(self, body: bytes) -> None:
        """Keep the bytes of the stream and their time, or the message of an error."""
        if self._good:
            self.exchange.pieces_ns.append(self._arrived_ns)
            self.exchange.pieces.append(body)
        elif len(self._error_body) < LONGEST_ERROR_BODY:
            self._error_body += body

    def on_message_complete(self) -> None:
        """The answer is whole; decoding decides later whether it is a good one."""
        if self.ended or self._parser is None:
            return
        self.reusable = self._parser.should_keep_alive()
        if self.exchange.http_status == 200:
            self._finish("ok", None)
        else:
            self._finish("http_error", self._error_body[:LONGEST_ERROR_BODY].decode(errors="replace"))

    def _finish(self, status: str, error: str | None) -> None:
        if not self.ended:
            self.ended = True
            self.exchange.end_ns = self._arrived_ns
            self.exchange.status = status
            self.exchange.error = error
