"""HTTPS: with a certificate that is trusted, and with those that are not."""

from __future__ import annotations

import asyncio
import os
import socket
import socketserver
import ssl
import threading
from pathlib import Path

import pytest

from loadgen.clients.choice import client_for
from loadgen.clients.exchange import Exchange
from starwatt_errors import LoadError
from tests.support.certificates import certified
from tests.support.driving import SINGLE, TASKS, closed, constant, drive, make_spec
from tests.support.server import Answer, TruthServer

CLIENTS = ("wire", "httptools", "aiohttp")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_load_over_https_is_a_load_and_carries_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    pem, context = certified(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with TruthServer(lambda _: Answer(tokens=3), tls=context) as server:
        driven = drive(make_spec(server.url, closed(2), client=client), tmp_path / "run", api_key="sk-1")
    assert [(row["status"], row["output_tokens"]) for row in driven.of("measured")] == [("ok", 3)] * TASKS
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer sk-1"}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("address", "trusted"), [("127.0.0.1", False), ("127.0.0.2", True)])
def test_a_certificate_that_does_not_hold_is_no_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, address: str, trusted: bool
) -> None:
    pem, context = certified(tmp_path, address)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with TruthServer(tls=context) as server:
        spec = make_spec(server.url, constant(100), client=client)
        with pytest.raises(LoadError, match=r"https://127\.0\.0\.1:\d+ cannot be reached: .*certificate"):
            drive(spec, tmp_path / "run")
    assert server.asked == []


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("named", ["localhost", "other.example"])
def test_a_name_is_asked_for_and_must_be_the_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, named: str
) -> None:
    pem, context = certified(tmp_path, named)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    asked_for: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    with TruthServer(lambda _: Answer(tokens=1), tls=context) as server:
        spec = make_spec(server.url.replace("127.0.0.1", "localhost"), closed(1), client=client)
        if named == "localhost":
            drive(spec, tmp_path / "run")
        else:
            with pytest.raises(LoadError, match=r"cannot be reached: .*certificate"):
                drive(spec, tmp_path / "run")
    assert set(asked_for) == {"localhost"}
    assert bool(server.asked) == (named == "localhost")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_that_are_in_use_are_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, version: ssl.TLSVersion
) -> None:
    pem, context = certified(tmp_path, "127.0.0.1")
    context.minimum_version = context.maximum_version = version
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with TruthServer(lambda _: Answer(tokens=3), tls=context) as server:
        driven = drive(make_spec(server.url, closed(2), client=client), tmp_path / "run")
    assert [row["status"] for row in driven.of("measured")] == ["ok"] * TASKS


class _InClear(socketserver.BaseRequestHandler):
    """Answers whatever comes as an HTTP server answers what is no HTTP."""

    def handle(self) -> None:
        self.request.recv(1 << 16)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_in_clear_is_no_https_endpoint(tmp_path: Path, client: str) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _InClear) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        spec = make_spec(f"https://127.0.0.1:{server.server_address[1]}", closed(1), client=client)
        with pytest.raises(LoadError, match=r"cannot be reached: .*(?i:wrong version number)"):
            drive(spec, tmp_path)
        server.shutdown()


@pytest.mark.parametrize("client", ["wire", "httptools"])
@pytest.mark.parametrize("ending", ["in order", "without a word", "in clear"])
def test_a_connection_that_ends_in_mid_answer_is_lost_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, ending: str
) -> None:
    pem, context = certified(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nbody")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await writer.drain()
        if ending == "in order":
            writer.close()
            return
        beneath = writer.get_extra_info("socket")
        if ending == "in clear":
            os.write(beneath.fileno(), b"no record of TLS at all, but quite some bytes")
        beneath.shutdown(socket.SHUT_RDWR)

    async def run() -> Exchange:
        server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        _, asking = client_for(make_spec(f"https://127.0.0.1:{port}", SINGLE, client=client))
        exchange = Exchange()
        await asking.complete(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", exchange)
        await asking.close()
        server.close()
        return exchange

    exchange = asyncio.run(run())
    assert exchange.status == "connection_error"
    assert exchange.error
    assert exchange.http_status == 200 or client != "wire"  # asyncio drops what it read with a broken record
