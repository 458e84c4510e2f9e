"""Three clients, one truth: both make the same row of the same bytes, however these are split."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.datasets import load_dataset
from loadgen.clients.choice import client_for
from loadgen.clients.exchange import Exchange
from loadgen.planning.agenda import Item
from loadgen.process import run_load
from loadgen.rows import row_of
from starwatt_errors import LoadError
from tests.loadgen.answers.test_answers import ONE_WRONG
from tests.loadgen.answers.test_sse import pieces
from tests.support.driving import SINGLE, TASKS, closed, constant, drive, make_spec
from tests.support.server import Answer, Asked, TruthServer, as_chunk, completion_events, error_bytes
from traces.streams import read_trace

ITEM = Item(load_dataset("starwatt-24").tasks[0], 0, "measured")
CLIENTS = ("wire", "httptools", "aiohttp")
TIMES = ("sent_ns", "first_token_ns", "end_ns", "chunk_ns")


def whole(answer: Answer, framing: str = "chunked") -> bytes:
    """All bytes of an answer to a request."""
    if answer.status != 200:
        return error_bytes(answer)
    body = b"".join(answer.events or completion_events(Asked(0, 0, 1, "/", {}, {}), answer))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    if framing == "eof":
        return head + b"connection: close\r\n\r\n" + body
    if framing == "length":
        return head + f"content-length: {len(body)}\r\n\r\n".encode() + body
    return (
        head
        + b"transfer-encoding: chunked\r\n\r\n"
        + as_chunk(body[:20])
        + as_chunk(body[20:])
        + b"0\r\n\r\n"
    )


ANSWERS = {
    "good": whole(Answer(tokens=4)),
    "counted at the end": whole(Answer(tokens=4, usage="end")),
    "never counted": whole(Answer(tokens=4, usage="none")),
    "ended by its connection": whole(Answer(tokens=4), "eof"),
    "of stated length": whole(Answer(tokens=4), "length"),
    "without [DONE]": whole(Answer(tokens=4, ending="no_done")),
    "an error event": whole(Answer(events=(b'data: {"error": {"message": "boom"}}\n\n',))),
    "HTTP 429": whole(Answer(status=429, content=b"slow down" * 400)),
    "HTTP 503 without a body": whole(Answer(status=503, content=b"")),
    "cut off in its middle": whole(Answer(tokens=4))[:300],
    "cut off before its head ends": b"HTTP/1.1 20",
}


class Script:
    """A server that answers each request with the same pieces, and then ends the connection."""

    def __init__(self, answer: list[bytes]) -> None:
        self._answer = answer

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await reader.readuntil(b"\r\n\r\nbody")
        except asyncio.IncompleteReadError:  # a connection that was only opened ahead
            writer.close()
            return
        for piece in self._answer:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()


async def rows(answer: list[bytes]) -> list[dict[str, Any]]:
    """The row that each client makes of these pieces."""
    made = []
    async with Script(answer) as url:
        for name in CLIENTS:
            _, client = client_for(make_spec(url, SINGLE, client=name))
            await client.open_ahead(1)
            exchange = Exchange()
            request = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
            try:
                await client.complete(request, exchange)
            finally:
                await client.close()
            made.append(row_of(0, ITEM, 0, exchange))
    return made


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    """What must be equal, and of the times which are there and that they are in order."""
    known = [row["sent_ns"], *(row["chunk_ns"] or []), row["end_ns"]]
    assert known == sorted(known)
    assert row["first_token_ns"] == (row["chunk_ns"][0] if row["chunk_ns"] else None)
    return {**row, **dict.fromkeys(TIMES), "chunks": len(row["chunk_ns"] or [])}


@pytest.mark.parametrize("name", ANSWERS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_clients_make_the_same_row_of_the_same_bytes_however_they_are_split(
    name: str, data: st.DataObject
) -> None:
    answer = ANSWERS[name]
    cuts = data.draw(st.sets(st.integers(1, len(answer) - 1), max_size=40))
    wire, ours, theirs = asyncio.run(rows([piece for piece in pieces(answer, cuts) if piece]))
    assert without_times(wire) == without_times(ours) == without_times(theirs)


@pytest.mark.parametrize("load", [SINGLE, closed(3), constant(100)], ids=["single", "closed", "open"])
@pytest.mark.parametrize("wrong", ONE_WRONG)
def test_what_goes_wrong_has_the_same_status_through_aiohttp(
    tmp_path: Path, wrong: str, load: dict[str, Any]
) -> None:
    answer, status, http_status, _ = ONE_WRONG[wrong]
    with TruthServer(lambda asked: answer if asked.number == 1 else Answer()) as server:
        driven = drive(make_spec(server.url, load, client="aiohttp"), tmp_path)
    [row] = [row for row in driven.rows if row["status"] != "ok"]
    assert (row["status"], row["http_status"]) == (status, http_status)
    assert row["error"] or status == "http_error"
    assert len(driven.of("measured")) == TASKS


def test_a_server_that_never_answers_is_a_timeout_through_aiohttp(tmp_path: Path) -> None:
    with TruthServer(lambda asked: Answer(until_seen=1000) if asked.number == 0 else Answer()) as server:
        driven = drive(make_spec(server.url, closed(2), client="aiohttp", request_timeout_s=0.3), tmp_path)
    assert [row["error"] for row in driven.rows if row["status"] == "timeout"] == [
        "no complete answer within 0.3 s"
    ]


def test_what_is_in_flight_at_the_end_is_cut_off_and_still_a_row_through_aiohttp(tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return Answer(
            until_seen=TASKS + 2 if asked.number == TASKS - 1 else 1000 if asked.number >= TASKS else 0
        )

    with TruthServer(behave) as server:
        driven = drive(make_spec(server.url, constant(100), client="aiohttp", drain_s=0.1), tmp_path)
    assert {row["status"] for row in driven.of("filler")} == {"aborted"}
    assert {row["status"] for row in driven.of("measured")} == {"ok"}
    assert len(driven.rows) == len(server.asked)


@pytest.fixture
def proxy() -> Iterator[TruthServer]:
    """A server that answers for another, as a proxy does."""
    with TruthServer() as server:
        yield server


def test_a_proxy_of_the_environment_is_gone_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: TruthServer
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    run_load(make_spec("http://far-away.invalid:81", closed(2), client="aiohttp"), tmp_path)
    assert {asked.path for asked in proxy.asked} == {"http://far-away.invalid:81/v1/completions"}
    assert {row["status"] for row in read_trace(tmp_path, "requests").to_pylist()} == {"ok"}


def test_a_proxy_whose_address_is_none_is_named_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy:x")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(LoadError, match=r"http_proxy, http://proxy:x: a port is a number from 1") as failed:
        drive(make_spec("http://far-away.invalid:81", SINGLE, client="aiohttp"), tmp_path)
    assert "secret" not in str(failed.value)


def test_the_server_is_asked_the_same_by_all_clients(tmp_path: Path) -> None:
    asked = []
    for name in CLIENTS:
        with TruthServer() as server:
            drive(make_spec(server.url, SINGLE, client=name), tmp_path / name, api_key="sk-1")
        asked.append(
            [(request.path, request.body, {**request.headers, "host": ""}) for request in server.asked]
        )
    assert asked[0] == asked[1] == asked[2]


def test_an_endpoint_that_refuses_is_an_error_through_aiohttp_too(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(LoadError, match=f"{url} cannot be reached"):
            drive(make_spec(url, SINGLE, client="aiohttp"), tmp_path)


def test_connections_that_had_to_be_opened_while_a_request_waited_are_counted(tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return Answer(until_in_flight=80)

    with TruthServer(behave) as server:
        driven = drive(
            make_spec(
                server.url, constant(400), amount={"kind": "requests", "requests": 80}, client="httptools"
            ),
            tmp_path,
        )
    assert driven.result.audit.connections_opened_late is not None
    assert driven.result.audit.connections_opened_late >= 80 - 64
