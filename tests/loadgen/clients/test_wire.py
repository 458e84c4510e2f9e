"""The thread that sends and times outside Python: instants, order, whatever sockets do; and where it can't be had."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic_ns

import pytest

from loadgen.clients.choice import client_for
from loadgen.clients.exchange import Exchange
from loadgen.wire import build, tls
from loadgen.wire.binding import Received, Wire
from loadgen.wire.build import library
from loadgen.wire.client import WireConnection
from loadgen.wire.tls import Tls
from starwatt_errors import LoadError
from tests.support.certificates import certified
from tests.support.driving import SINGLE, closed, drive, make_spec
from tests.support.server import TruthServer

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
MS = 1_000_000


class Ends:
    """A wire with one slot, and the far end of it."""

    def __init__(self, server: ssl.SSLContext | None = None) -> None:
        self.wire = Wire(library())
        self.near, far = socket.socketpair()
        self.near.setblocking(False)
        self._tls = Tls("127.0.0.1") if server else None
        if server is None or self._tls is None:
            self.far = far
            self.slot = self.wire.add(self.near.fileno())
            return
        self.wire.speak_tls(self._tls.functions)
        with ThreadPoolExecutor() as aside:
            shaking = aside.submit(server.wrap_socket, far, server_side=True)
            self._secured = asyncio.run(self._tls.secured(self.near))
            self.far = shaking.result()
        self.slot = self.wire.add(self.near.fileno(), self._secured.pointer)

    def close(self) -> None:
        """Give everything back."""
        self.wire.close()
        if self._tls is not None:
            self._secured.close()
            self._tls.close()
        self.near.close()
        self.far.close()

    def news(self, within_s: float = 20.0) -> list[int]:
        """What the wire tells next."""
        select.select([self.wire.news_fd], [], [], within_s)
        return self.wire.news()

    def until(self, wanted: int) -> bytes:
        """So many bytes, however many times they are handed over."""
        data = b""
        while len(data) < wanted:
            assert self.news() == [self.slot]
            data += self.wire.take(self.slot).data
        return data


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """For 127.0.0.1."""
    return certified(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(params=["in clear", "over TLS"])
def ends(
    request: pytest.FixtureRequest, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ends]:
    """Closed at the end."""
    pem, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    both = Ends(context if request.param == "over TLS" else None)
    yield both
    both.close()


def test_a_request_goes_out_no_earlier_than_it_is_due(ends: Ends) -> None:
    due_ns = monotonic_ns() + 30 * MS
    assert ends.wire.send(ends.slot, b"later", due_ns)
    assert ends.far.recv(100) == b"later"
    assert monotonic_ns() >= due_ns
    assert ends.wire.take(ends.slot).sent_ns >= due_ns


def test_requests_go_out_in_the_order_of_their_instants_not_of_their_making(ends: Ends) -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    slots = [ends.wire.add(near.fileno()) for near, _ in pairs]
    start_ns = monotonic_ns() + 20 * MS
    places = [(7 * number) % 20 for number in range(20)]
    for slot, place in zip(slots, places, strict=True):
        assert ends.wire.send(slot, b"x", start_ns + place * MS)
    for _, far in pairs:
        assert far.recv(1) == b"x"
    sent = [ends.wire.take(slot).sent_ns for slot in slots]
    assert all(at >= start_ns + place * MS for at, place in zip(sent, places, strict=True))
    assert sorted(range(20), key=sent.__getitem__) == sorted(range(20), key=places.__getitem__)
    for slot, (near, far) in zip(slots, pairs, strict=True):
        ends.wire.remove(slot)
        near.close()
        far.close()


def test_a_request_of_a_removed_slot_is_never_sent(ends: Ends) -> None:
    near, far = socket.socketpair()
    slot = ends.wire.add(near.fileno())
    due_ns = monotonic_ns() + 10 * MS
    assert ends.wire.send(slot, b"withdrawn", due_ns)
    ends.wire.remove(slot)
    assert ends.wire.send(ends.slot, b"next", due_ns + MS)
    assert ends.far.recv(100) == b"next"
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(100)
    near.close()
    far.close()


def test_a_request_larger_than_the_socket_takes_at_once_arrives_whole(ends: Ends) -> None:
    request = bytes(range(256)) * 40_000
    assert ends.wire.send(ends.slot, request, 0)
    received = b""
    while len(received) < len(request):
        received += ends.far.recv(1 << 20)
    assert received == request


def test_a_stream_is_told_of_once_it_may_be_whole_with_every_piece_and_its_instant(ends: Ends) -> None:
    assert ends.wire.send(ends.slot, b"?", 0)
    ends.far.sendall(HEAD + b"1\r\na\r\n")
    ends.far.sendall(b"1\r\nb\r\n")
    before_ns = monotonic_ns()
    ends.far.sendall(b"0\r\n\r\n")
    data, times_ns, piece_ends = b"", list[int](), list[int]()
    while not data.endswith(b"0\r\n\r\n"):
        assert ends.news() == [ends.slot]
        received: Received = ends.wire.take(ends.slot)
        piece_ends += [len(data) + end for end in received.ends]
        times_ns += received.times_ns
        data += received.data
    assert data == HEAD + b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
    assert piece_ends[-1] == len(data)
    assert piece_ends == sorted(set(piece_ends))
    assert times_ns == sorted(times_ns)
    assert times_ns[-1] >= before_ns


def test_an_end_that_is_not_recognised_is_handed_over_after_a_silence(ends: Ends) -> None:
    assert ends.wire.send(ends.slot, b"?", 0)
    answer = HEAD + b"1\r\na\r\n"
    ends.far.sendall(answer)
    assert ends.until(len(answer)) == answer


TELLING = {
    "a last chunk": HEAD + b"1\r\na\r\n0\r\n\r\n",
    "its extension": HEAD + b"1\r\na\r\n0;x=1\r\n\r\n",
    "a trailer": HEAD + b"1\r\na\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "a length": b"HTTP/1.1 200 OK\r\nX: transfer-encoding: chunked\r\nContent-Length: 1\r\n\r\na",
    "an interim answer before": b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"1\r\na\r\n0\r\n\r\n",
    "no HTTP": b"?" * 20_000,
}
SILENT = {
    "a head": HEAD,
    "an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "a chunk": HEAD + b"3\r\na\n\n\r\n",
    "a chunk that ends in CRLF twice": HEAD + b"5\r\na\r\n\r\n\r\n",
    "a chunk after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"1\r\na\r\n",
}


@pytest.mark.parametrize("kind", [*TELLING, *SILENT])
def test_what_may_be_an_answers_end_is_told_before_what_can_be_none(ends: Ends, kind: str) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    other = ends.wire.add(near.fileno())
    for slot in (ends.slot, other):
        assert ends.wire.send(slot, b"?", 0)
    ends.far.sendall((TELLING | SILENT)[kind])
    far.sendall(TELLING["a last chunk"])  # after it, and told at once
    told = ends.news()
    while other not in told:
        told += ends.news()
    assert (ends.slot in told[: told.index(other)]) == (kind in TELLING)
    ends.wire.remove(other)
    near.close()
    far.close()


def test_a_request_is_not_sent_where_something_came_since_the_last_answer(ends: Ends) -> None:
    assert ends.wire.send(ends.slot, b"first", 0)
    assert ends.far.recv(100) == b"first"
    ends.far.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    ends.until(38)
    ends.far.sendall(b"stray")
    near, far = socket.socketpair()
    due_ns = monotonic_ns() + MS
    assert ends.wire.send(ends.slot, b"second", due_ns)
    assert ends.wire.send(ends.wire.add(near.fileno()), b"later", due_ns + MS)
    assert far.recv(100) == b"later"
    near.close()
    far.close()
    received = ends.wire.take(ends.slot)
    assert (received.data, received.sent_ns) == (b"stray", 0)
    assert received.closed_ns
    ends.far.setblocking(False)
    with pytest.raises((BlockingIOError, ssl.SSLWantReadError)):
        ends.far.recv(100)
    assert not ends.wire.send(ends.slot, b"third", 0)


def test_a_request_waits_for_none_that_is_still_being_sent(ends: Ends) -> None:
    assert ends.wire.send(ends.slot, b"x" * 40_000_000, 0)
    assert not ends.wire.send(ends.slot, b"next", 0)


def test_ten_megabytes_arrive_as_they_were_sent(ends: Ends) -> None:
    assert ends.wire.send(ends.slot, b"?", 0)
    answer = HEAD + b"a00000\r\n" + b"x" * 0xA00000 + b"\r\n0\r\n\r\n"
    ends.far.sendall(answer)
    assert ends.until(len(answer)) == answer


@pytest.mark.parametrize("last_words", [b"", HEAD + b"1\r\na"])
def test_the_servers_leaving_is_told_after_its_last_words(ends: Ends, last_words: bytes) -> None:
    assert ends.wire.send(ends.slot, b"?", 0)
    ends.far.sendall(last_words)
    ends.far.close()
    data, closed_ns = b"", 0
    while not closed_ns:
        assert ends.news() == [ends.slot]
        received = ends.wire.take(ends.slot)
        data, closed_ns = data + received.data, received.closed_ns
    assert data == last_words
    assert not ends.wire.send(ends.slot, b"?", 0)


def test_slots_are_used_again_and_remember_nothing(ends: Ends) -> None:
    for _ in range(3):
        near, far = socket.socketpair()
        slot = ends.wire.add(near.fileno())
        assert slot == ends.slot + 1
        far.sendall(b"left over")
        assert ends.news() == [slot]
        ends.wire.remove(slot)
        near.close()
        far.close()
    near, far = socket.socketpair()
    slot = ends.wire.add(near.fileno())
    assert ends.wire.take(slot).data == b""
    ends.wire.remove(slot)
    near.close()
    far.close()


def test_a_connection_that_the_server_closed_before_the_request_was_due_is_replaced() -> None:
    async def run() -> tuple[Exchange, int]:
        met = 0

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal met
            met += 1
            if met > 1:
                await reader.readuntil(b"\r\n\r\nbody")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            writer.close()

        server = await asyncio.start_server(meet, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        _, client = client_for(make_spec(url, SINGLE, client="wire"))
        await client.open_ahead(1)
        exchange = Exchange(due_ns=monotonic_ns() + 100 * MS)
        await client.complete(REQUEST, exchange)
        await client.close()
        server.close()
        return exchange, met

    exchange, met = asyncio.run(run())
    assert (exchange.status, exchange.http_status, met) == ("ok", 200, 2)
    assert exchange.sent_ns >= exchange.due_ns


def test_a_server_that_refuses_on_opening_is_heard_though_nothing_could_be_sent() -> None:
    refusal = b"HTTP/1.1 503 Full\r\nContent-Length: 4\r\n\r\nfull"

    async def run() -> Exchange:
        async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(refusal)
            writer.close()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        connected = socket.create_connection(server.sockets[0].getsockname()[:2])
        connected.setblocking(False)
        wire = Wire(library())
        connection = WireConnection(wire, connected)
        while not wire.news():
            await asyncio.sleep(0)
        exchange = Exchange()
        await connection.send(REQUEST, exchange, monotonic_ns() + 100 * MS)  # what was said is here already
        assert not connection.usable
        connection.close()
        wire.close()
        server.close()
        return exchange

    exchange = asyncio.run(run())
    assert (exchange.status, exchange.http_status, exchange.error) == ("http_error", 503, "full")
    assert 0 < exchange.sent_ns <= exchange.end_ns


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_http_and_https_go_over_the_wire(
    tmp_path: Path,
    certificate: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
    secured: bool,
) -> None:
    pem, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with TruthServer(tls=context if secured else None) as server:
        assert drive(make_spec(server.url, closed(2)), tmp_path).result.audit.client == "wire"


def test_where_there_is_no_openssl_the_event_loop_serves_and_wire_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tls, "_LIBRARIES", ())
    monkeypatch.setattr("ctypes.util.find_library", lambda _: "libc.so.6")
    name, _ = client_for(make_spec("https://127.0.0.1:1", SINGLE))
    assert name == "httptools"
    with pytest.raises(LoadError, match="no OpenSSL library"):
        client_for(make_spec("https://127.0.0.1:1", SINGLE, client="wire"))


def test_where_nothing_can_be_compiled_the_event_loop_serves_and_wire_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    name, _ = client_for(make_spec("http://127.0.0.1:1", SINGLE))
    assert name == "httptools"
    with pytest.raises(LoadError, match="no C compiler"):
        client_for(make_spec("http://127.0.0.1:1", SINGLE, client="wire"))


def test_source_that_does_not_compile_is_said_in_the_compilers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "SOURCE", tmp_path / "wire.c")
    (tmp_path / "wire.c").write_text("int broken(")
    with pytest.raises(LoadError, match=r"wire\.c does not compile: .*error"):
        library()
    assert list((tmp_path / "cache").rglob("*.so")) == []
