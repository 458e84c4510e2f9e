"""Whatever a server does becomes one row that says so, and the load goes on."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Literal

import pytest

from starwatt_errors import LoadError
from tests.support.driving import SINGLE, TASKS, Driven, closed, constant, drive, make_spec
from tests.support.server import Answer, Asked, TruthServer, completion_text

LONG = b"<html>" + b"x" * 5000

ONE_WRONG: dict[str, tuple[Answer, str, int | None, str]] = {
    "HTTP 400": (Answer(status=400), "http_error", 400, "because"),
    "HTTP 429": (Answer(status=429, content=b"slow down"), "http_error", 429, "slow down"),
    "HTTP 500 with a page": (Answer(status=500, content=LONG), "http_error", 500, "<html>xxx"),
    "HTTP 503 without a body": (Answer(status=503, content=b""), "http_error", 503, ""),
    "reset in mid-stream": (Answer(ending="reset"), "connection_error", 200, "connection lost"),
    "closed in mid-stream": (Answer(ending="closed"), "connection_error", 200, "closed by the server"),
    "nothing but [DONE]": (
        Answer(events=(b"data: [DONE]\n\n",)), "malformed", 200, "without a finish_reason",
    ),
    "invalid JSON": (Answer(events=(b"data: {\n\n",)), "malformed", 200, "not the JSON of a completion"),
    "invalid UTF-8": (
        Answer(events=(b'data: {"choices": [{"text": "\xff"}]}\n\n',)), "malformed", 200, "without a finish",
    ),
    "an error event": (
        Answer(events=(b'data: {"error": {"message": "boom"}}\n\n',)), "malformed", 200, "boom",
    ),
    "no HTTP at all": (Answer(raw=b"SSH-2.0-x\r\n\r\n"), "malformed", None, "not HTTP"),
    "closed before the head": (Answer(raw=b"HTTP/1.1 20"), "connection_error", None, "closed by the server"),
    "a count beyond all bounds": (
        Answer(events=(b'data: {"choices": [], "usage": {"completion_tokens": 5000000000}}\n\n',)),
        "malformed", 200, "without a finish_reason",
    ),
}  # fmt: skip


def drive_with(behaviour: dict[int, Answer], out: Path, load: dict[str, Any], **changes: Any) -> Driven:
    """Drive a load on a server that answers well but for the requests of these numbers."""
    with TruthServer(lambda asked: behaviour.get(asked.number, Answer())) as server:
        return drive(make_spec(server.url, load, **changes), out)


@pytest.mark.parametrize("load", [SINGLE, closed(3), constant(100)], ids=["single", "closed", "open"])
@pytest.mark.parametrize("wrong", ONE_WRONG)
def test_one_wrong_answer_is_one_row_that_says_so_and_the_others_are_whole(
    tmp_path: Path, wrong: str, load: dict[str, Any]
) -> None:
    answer, status, http_status, error = ONE_WRONG[wrong]
    driven = drive_with({1: answer}, tmp_path, load)
    measured = driven.of("measured")
    assert len(measured) == TASKS
    [row] = [row for row in driven.rows if row["status"] != "ok"]
    assert (row["status"], row["http_status"]) == (status, http_status)
    assert error in row["error"]
    assert len(row["error"]) <= 2000
    assert driven.result.errors == {status: 1}
    assert row["scheduled_ns"] <= row["sent_ns"] <= row["end_ns"]
    assert {row["completion"] for row in driven.rows if row["status"] == "ok"} == {completion_text(3)}
    assert not driven.result.interrupted


def test_what_came_before_a_reset_is_kept(tmp_path: Path) -> None:
    driven = drive_with({0: Answer(ending="closed")}, tmp_path, SINGLE)
    [row] = [row for row in driven.rows if row["status"] != "ok"]
    assert row["completion"] == completion_text(1)
    assert row["first_token_ns"] == row["chunk_ns"][0]
    assert (row["chunk_tokens"], row["output_tokens"], row["finish_reason"]) == ([1], 1, None)


def test_a_server_that_never_answers_is_a_timeout_and_the_load_goes_on(tmp_path: Path) -> None:
    never = Answer(until_seen=1000)
    driven = drive_with({0: never, 3: never}, tmp_path, closed(2), request_timeout_s=0.3)
    assert [row["status"] for row in driven.of("measured")].count("timeout") == 2
    assert len(driven.of("measured")) == TASKS
    assert {row["error"] for row in driven.rows if row["status"] == "timeout"} == {
        "no complete answer within 0.3 s"
    }
    assert all(row["first_token_ns"] is None for row in driven.rows if row["status"] == "timeout")


def test_every_row_of_a_server_that_dies_is_there(tmp_path: Path) -> None:
    with TruthServer(lambda _: Answer(ending="closed")) as server:

        def die(asked: Asked) -> Answer:
            if asked.number == 2:
                server._server.close()
                for conversation in server._conversations:
                    conversation.cancel()
                return Answer(until_seen=1000)
            return Answer()

        server.behave = die
        driven = drive(make_spec(server.url, SINGLE), tmp_path)
    assert [row["status"] for row in driven.of("measured")] == ["ok"] * 2 + ["connection_error"] * 3
    assert all(row["end_ns"] >= row["sent_ns"] for row in driven.rows)


def test_an_endpoint_that_refuses_from_the_start_is_an_error_not_rows(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(LoadError, match=f"{url} cannot be reached"):
            drive(make_spec(url, closed(2)), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bytes_at_once", [None, 1, 7])
def test_rows_are_the_same_however_the_server_splits_its_bytes(
    tmp_path: Path, bytes_at_once: int | None
) -> None:
    answer = Answer(tokens=5, bytes_at_once=bytes_at_once)
    driven = drive_with(dict.fromkeys(range(99), answer), tmp_path, SINGLE)
    assert {row["status"] for row in driven.rows} == {"ok"}
    for row in driven.rows:
        assert row["completion"] == completion_text(5)
        assert (row["output_tokens"], row["prompt_tokens"], row["cached_tokens"]) == (5, 11, 4)
        assert row["chunk_tokens"] == [1] * 5
        assert (row["finish_reason"], row["http_status"], row["error"]) == ("stop", 200, None)
        assert row["sent_ns"] <= row["first_token_ns"] == row["chunk_ns"][0]
        assert row["chunk_ns"] == sorted(row["chunk_ns"])
        assert row["chunk_ns"][-1] <= row["end_ns"]


def test_usage_only_at_the_end_gives_exact_tokens_but_none_for_each_chunk(tmp_path: Path) -> None:
    driven = drive_with(dict.fromkeys(range(99), Answer(usage="end")), tmp_path, SINGLE)
    for row in driven.rows:
        assert (row["status"], row["output_tokens"], row["chunk_tokens"]) == ("ok", 3, None)
        assert len(row["chunk_ns"]) == 3


def test_a_server_that_never_counts_leaves_its_tokens_null(tmp_path: Path) -> None:
    driven = drive_with(dict.fromkeys(range(99), Answer(usage="none")), tmp_path, SINGLE)
    for row in driven.rows:
        assert row["status"] == "ok"
        assert row["output_tokens"] is row["chunk_tokens"] is row["prompt_tokens"] is None


@pytest.mark.parametrize("framing", ["chunked", "eof"])
def test_an_answer_with_a_finish_reason_and_a_whole_body_needs_no_done(
    tmp_path: Path, framing: Literal["chunked", "eof"]
) -> None:
    answer = Answer(ending="no_done", framing=framing)
    driven = drive_with(dict.fromkeys(range(99), answer), tmp_path, SINGLE)
    assert {(row["status"], row["completion"]) for row in driven.rows} == {("ok", completion_text(3))}


def test_an_answer_that_ends_with_its_connection_is_whole(tmp_path: Path) -> None:
    driven = drive_with(dict.fromkeys(range(99), Answer(framing="eof")), tmp_path, closed(2))
    assert [row["status"] for row in driven.of("measured")] == ["ok"] * TASKS
    assert {row["completion"] for row in driven.of("measured")} == {completion_text(3)}


def test_a_connection_is_used_again_for_the_next_request(tmp_path: Path) -> None:
    with TruthServer() as server:
        conversations = []
        server.behave = lambda _: conversations.append(len(server._conversations)) or Answer()  # type: ignore[func-returns-value]
        drive(make_spec(server.url, SINGLE), tmp_path)
    assert set(conversations) == {1}


@pytest.mark.parametrize("client", ["wire", "httptools", "aiohttp"])
def test_an_event_of_ten_megabytes_is_a_row_like_any_other(tmp_path: Path, client: str) -> None:
    text = "x" * 10_000_000
    event = {"choices": [{"text": text, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
    long = Answer(events=(f"data: {json.dumps(event)}\n\n".encode(), b"data: [DONE]\n\n"))
    driven = drive_with({1: long}, tmp_path, closed(2), client=client)
    assert [row["status"] for row in driven.rows] == ["ok"] * len(driven.rows)
    assert [row["completion"] for row in driven.rows].count(text) == 1
