"""What a machine runs out of, and servers with few places: a request that has no connection is a row that says so."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.loadgen.raw_server import RawServer, Step, Then
from tests.support.busy import PATIENCE_S
from tests.support.driving import closed, constant, drive, make_spec, requests
from tests.support.server import Answer, Asked, TruthServer
from traces.streams import read_trace

CLIENTS = ("wire", "httptools", "aiohttp")
FREE_DESCRIPTORS = 40
PLANNED = 120
GOOD = b"".join(
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b'3b\r\ndata: {"choices":[{"text":"t","finish_reason":"stop"}]}\n\n  \r\n',
        b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
    )
)
FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull"


@pytest.mark.parametrize("load", [closed(60), constant(2000)], ids=["closed", "open"])
@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_free_descriptor_a_load_ends_with_one_row_a_planned_request(
    tmp_path: Path, client: str, load: dict[str, Any]
) -> None:
    # The first requests are answered once there are more than descriptors for them would be.
    with TruthServer(lambda asked: Answer(until_seen=60) if asked.number < 20 else Answer()) as server:
        spec = make_spec(
            server.url, load, amount=requests(PLANNED), client=client, request_timeout_s=10, drain_s=2
        )
        (tmp_path / "spec.json").write_text(spec.model_dump_json())
        done = subprocess.run(
            [sys.executable, "-m", "loadgen", str(tmp_path / "spec.json"), str(tmp_path)],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE, (FREE_DESCRIPTORS, FREE_DESCRIPTORS)
            ),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])["result"]
    rows = read_trace(tmp_path, "requests").to_pylist()
    measured = [row for row in rows if row["role"] == "measured"]
    assert len(measured) == PLANNED
    statuses = {row["status"] for row in measured}
    if load["kind"] == "closed":  # sixty places at once, whatever the machine
        assert statuses == {"ok", "connection_error"}
    assert statuses <= {"ok", "connection_error", "timeout"}, "a quick machine needs few, a slow one is late"
    words = {row["error"] for row in measured if row["status"] == "connection_error"}
    assert len([row for row in rows if row["status"] != "ok"]) == sum(result["errors"].values())
    assert all("descriptor" in said or "open files" in said for said in words), words


@pytest.mark.parametrize("client", ["wire", "httptools"])
def test_an_open_load_opens_the_connections_that_its_rate_needs(tmp_path: Path, client: str) -> None:
    def behave(asked: Asked) -> Answer:
        return Answer(until_in_flight=3 if 4 <= asked.number < 7 else 0)

    with TruthServer(behave) as server:
        spec = make_spec(server.url, constant(20), amount=requests(20), client=client)
        driven = drive(spec, tmp_path)
    assert {row["status"] for row in driven.rows} == {"ok"}
    assert driven.result.audit.connections_open_most is not None
    assert server.most_in_flight == 3
    # A machine that stands still may open one more for each request that it delays.
    delayed = [row for row in driven.rows if row["sent_ns"] - row["scheduled_ns"] > 20e6]
    assert 3 <= driven.result.audit.connections_open_most <= 6 + len(delayed)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_kept_connection_that_the_server_has_closed_costs_no_request(tmp_path: Path, client: str) -> None:
    with TruthServer(lambda _: Answer(raw=GOOD)) as server:  # closed after each answer, and never said so
        spec = make_spec(server.url, closed(2), amount=requests(30), client=client)
        driven = drive(spec, tmp_path)
    assert {row["status"] for row in driven.of("measured")} == {"ok"}, driven.result.errors
    assert len(driven.of("measured")) == 30
    assert driven.result.audit.resent is not None
    assert len(server.asked) <= len(driven.rows) + driven.result.audit.resent


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_counts_idle_connections_is_not_refusing_for_ever(tmp_path: Path, client: str) -> None:
    def few(_prompt: str, _body: dict[str, Any]) -> list[Step]:
        if server.open >= 3:
            return [FULL, Then.CLOSE]
        return [0.3, GOOD] if len(server.asked) <= 2 else [GOOD]  # at this rate so slow a server needs six

    with RawServer(few) as server:
        driven = drive(make_spec(server.url, constant(20), amount=requests(60), client=client), tmp_path)
    statuses = [row["status"] for row in driven.of("measured")]
    assert "http_error" in statuses, "it was never full"
    assert "ok" in statuses[20:]
