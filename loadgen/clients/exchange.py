"""One request and what came back: HTTP taken off by httptools, nothing decoded while a request is under way."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import httptools

from loadgen.answers.event_stream import StreamEvent, cut_events
from loadgen.answers.words import http_error_words
from starwatt_errors import reason_of
from traces.clock import now_ns

LONGEST_ERROR_BODY = 2000
AFTER_DONE_S = 0.1
"""So long an answer may take to end once it has said [DONE]: its connection is good for another request then."""
KEPT_HEADERS = {
    name.encode(): name for name in ("content-type", "content-encoding", "location", "retry-after")
}
CUT_OFF = "cut off at the end of the load"
_LONGEST_DONE = 32
_DONE_LINE = re.compile(rb"[\r\n]data:[ \t]*\[DONE\]\s*(?:[\r\n]|\Z)")


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
    headers: dict[str, str] = field(default_factory=dict)
    """The answer's headers, those of ``KEPT_HEADERS``."""
    status: str = "aborted"
    error: str | None = None

    @property
    def events(self) -> list[StreamEvent]:
        """Return the events of its body, with their arrival."""
        return cut_events(self.pieces_ns, self.pieces)

    @property
    def retry_after(self) -> str | None:
        """Return what the server said of when to come again."""
        return self.headers.get("retry-after")

    def fail(self, status: str, error: str) -> None:
        """Note that it ended now without a good answer; one that was never sent counts as sent now."""
        self.status, self.error, self.end_ns = status, error, now_ns()
        self.sent_ns = self.sent_ns or self.end_ns

    def forget(self) -> None:
        """Be as if nothing had come back yet; when it is due and when it was first sent stay."""
        self.end_ns, self.http_status, self.status, self.error = 0, None, "aborted", None
        self.pieces_ns, self.pieces, self.headers = [], [], {}


class DoneWatch:
    """Watch whether a body has said [DONE]: after it nothing is generated, whenever its connection ends."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._done = False
        self._looked = 0
        self._before = b"\n"

    def look(self) -> bool:
        """Look at what came since the last time."""
        if not self._done and self._looked < len(self._exchange.pieces):
            fresh = self._before + b"".join(self._exchange.pieces[self._looked :])
            self._looked = len(self._exchange.pieces)
            self._before = fresh[-_LONGEST_DONE:]
            self._done = b"[DONE]" in fresh and _DONE_LINE.search(fresh) is not None
        return self._done


class Answer:
    """The answer to one request: fed with bytes and their arrival, it fills the exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.ended = False
        self.reusable = False
        """Say whether another request can follow on the same connection."""
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(  # what aiohttp, and so the second opinion, lets pass
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._parser: httptools.HttpResponseParser | None = parser
        self._arrived_ns = 0
        self._good = False
        self._done = DoneWatch(exchange)
        self._framed = False
        self._error_body = b""

    def feed(self, arrived_ns: int, data: bytes) -> None:
        """Take bytes of this connection, as they came."""
        self._arrived_ns = arrived_ns
        if self._parser is None:
            self.reusable = self.reusable and not data  # bytes that nobody asked for: it is out of step
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.reusable = False
            if not self.settle():
                self._finish("malformed", f"not HTTP: {error}")
        except httptools.HttpParserUpgrade:
            self.reusable = False
            self._finish("http_error", "the server changes to a protocol that nobody asked for")
        if self.ended:
            self._parser = None  # it holds this answer: a cycle that reference counting cannot end

    @property
    def settled_ns(self) -> int | None:
        """Say until when a stream's end is waited for that has said [DONE]; None where it has not, or has ended."""
        if self.ended or not self._done.look():
            return None
        return self._arrived_ns + round(AFTER_DONE_S * 1e9)

    def settle(self) -> bool:
        """End a stream that has said [DONE] though its connection goes on; False where it has not."""
        if not self.ended and self._done.look():
            self._finish("ok", None)
            self._parser = None
        return self.ended

    def cut_off(self, at_ns: int, error: Exception | None) -> None:
        """Note that the connection is gone: the answer is whole only where [DONE], or nothing but its end, says so."""
        if not self.settle():
            self._arrived_ns = at_ns
            if error is None and not self._framed and self.exchange.http_status:
                self.on_message_complete()
            why = "closed by the server" if error is None else reason_of(error)
            self._finish("connection_error", f"connection lost in mid-answer: {why}")
        self.reusable = False
        self._parser = None

    # httptools.HttpResponseParser

    def on_message_begin(self) -> None:
        """Note that more comes after the answer: whose it is nobody knows."""
        if self.ended:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what tells of the body, and whether the answer says where it ends (RFC 9112, 6.3)."""
        name = name.lower()
        if name in KEPT_HEADERS and not self.ended:
            self.exchange.headers[KEPT_HEADERS[name]] = value.decode("latin-1")
        self._framed = self._framed or name in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        """Note the status, which stands whatever happens to the body."""
        if not self.ended and self._parser is not None:
            self.exchange.http_status = self._parser.get_status_code()
            self._good = self.exchange.http_status == 200

    def on_body(self, body: bytes) -> None:
        """Keep the bytes of the stream and their time, or the message of an error."""
        if self.ended:
            return
        if self._good:
            self.exchange.pieces_ns.append(self._arrived_ns)
            self.exchange.pieces.append(body)
        elif len(self._error_body) < LONGEST_ERROR_BODY:
            self._error_body += body

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it is an interim one; decoding decides later whether it is good."""
        if self.ended or self._parser is None:
            return
        status = self.exchange.http_status or 0
        if 100 <= status < 200:  # the answer itself follows (RFC 9110, 15.2)
            self.exchange.forget()
            self._framed = False
            return
        self.reusable = self._parser.should_keep_alive()
        if status == 200:
            self._finish("ok", None)
        else:
            self._finish("http_error", http_error_words(status, self.exchange.headers, self._error_body))

    def _finish(self, status: str, error: str | None) -> None:
        if not self.ended:
            self.ended = True
            self.exchange.end_ns = self._arrived_ns
            self.exchange.status = status
            self.exchange.error = error
