"""Strangers at the service's door: whatever they send, however slowly, they cost little and stop nothing."""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.power.service.client import MeterUnreachableError, ServiceClient
from server.power.service.complaints import MOST, Complaints
from server.power.service.gate import Limits
from starwatt_errors import StarwattError
from tests.support.busy import PATIENCE_S
from tests.support.certificates import certified
from tests.support.metering import TOKEN, served, serving

HOST = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"
GARBAGE = {
    "nothing": b"",
    "a name alone": b"GET",
    "half a head": b"GET /v1/host HTTP/1.1\r\nHost: x\r\n",
    "no end of a line": b"GET /" + b"a" * 60_000,
    "many fields": b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(5000)),
    "no http": b"\x00\x01\x02\xff\xfe garbage \x1b[2J\r\n\r\n",
    "tls to clear": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 512,
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64,
    "a bad version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "two lengths": b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a bad length": b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "bad chunks": b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + b"\xff" * 999,
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n" + b"\x16\x03\x01" * 99,
    "one after another": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000,
    "a body without end": b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"a" * 99_999,
}  # fmt: skip
AFTER_THE_TOKEN = {
    "a body that never comes": f"POST /v1/sessions HTTP/1.1\r\n{HOST}Content-Length: 50\r\n\r\n",
    "half a second head": f"GET /v1/clock HTTP/1.1\r\n{HOST}\r\nGET /v1/clo",
    "garbage behind it": f"GET /v1/clock HTTP/1.1\r\n{HOST}\r\n\x00\x01\x02\r\n\r\n",
    "a wrong encoding": f"POST /v1/sessions HTTP/1.1\r\n{HOST}Content-Encoding: zz\r\nContent-Length: 2\r\n\r\n{{}}",
    "gzip it is not": f"POST /v1/sessions HTTP/1.1\r\n{HOST}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}",
    "bytes that are no text": f"POST /v1/sessions HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\n\x80\x81",
    "a body too long": f"POST /v1/sessions HTTP/1.1\r\n{HOST}Content-Length: 99999\r\n\r\n" + "a" * 99_999,
    "an odd offset": f"GET /v1/sessions/x/power.arrows?offset=%FF HTTP/1.1\r\n{HOST}\r\n",
}


@pytest.fixture
def lines() -> list[str]:
    """What the service complained of."""
    return []


@pytest.fixture
def url(busy_pid: int, lines: list[str]) -> Iterator[str]:
    """A service with little patience."""
    limits = Limits(head_s=0.5, connections=8, unread_s=0.5)
    with serving(busy_pid, limits=limits, complaints=Complaints(lines.append)) as address:
        yield address


def connected(url: str) -> socket.socket:
    """A stranger's connection."""
    host, port = url.rpartition("/")[2].split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def ended(connection: socket.socket) -> bytes:
    """All that comes until the other end closes; a reset is an end too."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            heard += piece
    return heard


def let_in(url: str) -> ServiceClient:
    """Who has the token, once answered: a machine that stands still can make anybody late, and he asks again."""
    client = ServiceClient(url, TOKEN)
    while True:
        with contextlib.suppress(MeterUnreachableError):
            client.ask("GET", "/v1/clock")
            return client


def answers(url: str) -> bool:
    """Whether who has the token is answered."""
    client = let_in(url)
    client.close()
    return True


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
def test_whatever_comes_before_the_token_is_closed_in_time_with_one_line(
    url: str, lines: list[str], sent: bytes
) -> None:
    with connected(url) as stranger:
        with contextlib.suppress(ConnectionError):
            stranger.sendall(sent)
        assert b"200 OK" not in ended(stranger)
    said = list(lines)
    assert answers(url)
    assert len(said) <= 1
    assert all(line.isprintable() and len(line) < 400 and "Traceback" not in line for line in said)


@pytest.mark.parametrize("sent", AFTER_THE_TOKEN.values(), ids=AFTER_THE_TOKEN)
def test_whatever_comes_with_the_token_is_answered_or_closed_and_the_service_goes_on(
    url: str, lines: list[str], monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr("server.power.service.app._BODY_S", 0.3)
    with connected(url) as friend:
        with contextlib.suppress(ConnectionError):
            friend.sendall(sent.encode("latin-1"))
        friend.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            friend.recv(1)
    said = list(lines)
    assert answers(url)
    assert len(said) <= 1
    assert not any("Traceback" in line or "\n" in line for line in said)


def test_a_head_that_comes_byte_by_byte_has_no_more_time_than_any(url: str, lines: list[str]) -> None:
    with connected(url) as stranger, contextlib.suppress(ConnectionError):
        for byte in b"GET /v1/host HTTP/1.1\r\nX-Slow: " + b"a" * 400:
            stranger.sendall(bytes([byte]))
            time.sleep(0.05)
        pytest.fail("it was listened to for 20 s")
    assert any("showed no token within 0.5 s" in line for line in lines)


def test_many_strangers_keep_nobody_out_who_has_the_token(url: str, lines: list[str]) -> None:
    with contextlib.ExitStack() as strangers:
        for _ in range(50):
            strangers.enter_context(connected(url))
        assert answers(url)
    assert any("made room" in line for line in lines)


def test_who_has_shown_the_token_is_not_closed_for_strangers_nor_for_silence(url: str) -> None:
    client = let_in(url)
    kept = client._connection.sock
    time.sleep(0.8)  # longer than a stranger may be silent
    with contextlib.ExitStack() as strangers:
        for _ in range(20):
            strangers.enter_context(connected(url))
        client.ask("GET", "/v1/clock")
        assert client._connection.sock is kept
    client.close()


def test_the_token_counts_behind_tls_too(
    tmp_path: Path, busy_pid: int, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, _ = certified(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    complaints = Complaints(lines.append)
    limits = Limits(head_s=1.0)
    with serving(busy_pid, limits=limits, complaints=complaints, pem=pem) as url, connected(url) as stranger:
        client = let_in(url)
        kept = client._connection.sock
        assert ended(stranger) == b""  # TLS that is never begun has no more time
        client.ask("GET", "/v1/clock")
        assert client._connection.sock is kept
        client.close()
    assert "127.0.0.1: showed no token within 1 s; closed" in lines


def test_complaints_are_a_line_each_and_not_many(lines: list[str]) -> None:
    complaints = Complaints(lines.append, every_s=3600)
    for number in range(1000):
        complaints.say(f"\x1b[2J{number}\n Traceback")
    complaints.close()
    assert len(lines) == MOST + 1
    assert lines[0] == "[2J0 Traceback"
    assert lines[-1] == "and 980 more like these"


def test_complaints_begin_again_when_their_time_has_passed(lines: list[str]) -> None:
    complaints = Complaints(lines.append, every_s=0.0)
    for number in range(2 * MOST):
        complaints.say(str(number))
    assert len(lines) == 2 * MOST


def test_a_service_without_descriptors_goes_on_when_it_has_some_again(busy_pid: int) -> None:
    with served("--pid", busy_pid) as (url, process):
        assert process.stderr is not None
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (40, 40))
        with contextlib.ExitStack() as strangers:
            for _ in range(100):
                strangers.enter_context(connected(url))
            while "no connection can be accepted: Too many open files" not in (
                line := process.stderr.readline()
            ):
                assert line, "it ended"
        assert answers(url)
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert len(said.splitlines()) <= MOST + 2
    assert "Traceback" not in said


def test_strangers_to_tls_are_closed_in_a_line(
    tmp_path: Path, busy_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, _ = certified(tmp_path, "127.0.0.1")
    with served("--pid", busy_pid, "--certificate", pem, "--key", pem) as (url, process):
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00", b""):
            with connected(url) as stranger:
                stranger.sendall(sent)
                stranger.shutdown(socket.SHUT_WR)
                ended(stranger)
        with connected(url) as stranger, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(stranger, server_hostname="127.0.0.1")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert answers(url)
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert len(said.splitlines()) <= 4 + 2  # a line a stranger; and those of a command's beginning and end
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("url", "token", "words"),
    [
        ("http://[::1", TOKEN, "an IPv6 address stands in brackets"),
        ("http://x:99999", TOKEN, "a port is a number from 1 to 65535, not 99999"),
        ("http://127.0.0.1:1", "tökén-0123456789abc", "STARWATT_METER_TOKEN: takes ASCII"),
        ("http://127.0.0.1:1", "a-token-0123456789\n", "STARWATT_METER_TOKEN: takes ASCII"),
        ("http://" + "a" * 70 + ".example", TOKEN, "is no host's name"),
        ("http://127.0.0.1:1/a b", TOKEN, "cannot be reached"),
    ],
)
def test_an_address_or_a_token_that_cannot_be_is_said_in_words(url: str, token: str, words: str) -> None:
    with pytest.raises(StarwattError, match=words):
        ServiceClient(url, token).fetch("GET", "/v1/host")
