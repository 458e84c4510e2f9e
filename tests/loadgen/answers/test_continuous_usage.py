"""A server that refuses to count its chunks is asked once more without, and then always; others are asked as before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from loadgen.answers.continuous_usage import FIELD, Asking
from loadgen.answers.continuous_usage import OPTIONS as STREAM_OPTIONS
from loadgen.clients.exchange import Exchange
from loadgen.flags import LoadFlags
from tests.loadgen.bytes_of import good, refused, stream, token, total
from tests.loadgen.raw_server import CLIENTS, RawServer, Step, request_of, rows_of

OPTIONS = {"include_usage": True, FIELD: True}
REFUSAL = json.dumps(
    {"error": {"message": f"Extra inputs are not permitted: stream_options.{FIELD}"}}
).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    """One for all."""
    with RawServer() as raw:
        yield raw


def strict(prompt: str, body: dict[str, Any]) -> Sequence[Step]:
    """Answers where the field is not there."""
    if FIELD in body["stream_options"]:
        return [refused(400, REFUSAL)]
    return stream([*(token(letter) for letter in prompt), token("", None, "stop"), total(len(prompt))])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_request_refused_for_its_counts_is_made_again_without_and_the_next_at_once(
    server: RawServer, client: str
) -> None:
    server.begin(strict)
    requests = [request_of(prompt, stream_options=OPTIONS) for prompt in ("abc", "de")]
    rows = rows_of(client, server.url, requests)
    assert [(row["status"], row["completion"], row["output_tokens"]) for row in rows] == [
        ("ok", "abc", 3), ("ok", "de", 2),
    ]  # fmt: skip
    assert [FIELD in asked["stream_options"] for asked in server.asked] == [True, False, False]
    assert rows[0]["sent_ns"] < rows[0]["first_token_ns"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_refuses_for_another_reason_is_told_so_and_asked_for_counts_again(
    server: RawServer, client: str
) -> None:
    def angry(prompt: str, body: dict[str, Any]) -> Sequence[Step]:
        if prompt == "good":
            return stream(good(prompt))
        return [refused(422, b"prompt is too long; body: " + json.dumps(body).encode())]

    server.begin(angry)
    rows = rows_of(client, server.url, [request_of(name, stream_options=OPTIONS) for name in ("bad", "good")])
    assert [row["status"] for row in rows] == ["http_error", "ok"]
    assert "too long" in rows[0]["error"]
    assert [asked.get("stream_options") for asked in server.asked] == [
        OPTIONS, {"include_usage": True}, None, OPTIONS,
    ]  # fmt: skip


@pytest.mark.parametrize("status", [401, 403, 404, 413, 429, 500, 502, 503])
def test_a_failure_that_quotes_the_request_teaches_nothing(status: int) -> None:
    asking, request = Asking(), request_of("a", stream_options=OPTIONS)
    for said in (f"try again; you sent {OPTIONS}", None):
        exchange = Exchange()
        made = []
        for form in asking.forms(request, exchange):
            made.append(form)
            exchange.error = said
            exchange.status, exchange.http_status = ("http_error", status) if said else ("ok", 200)
        assert made == [request], "it is asked for counts, once"


#: Words of servers that know no options of streams at all.
UNKNOWN = (
    b"{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}",
    b'{"error": {"message": "Unrecognized request argument supplied: stream_options"}}',
    b'{"error_code": "BAD_REQUEST", "message": "json: unknown field \\"stream_options\\""}',
)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("words", UNKNOWN)
def test_a_server_without_options_of_streams_is_asked_without_any(
    server: RawServer, client: str, words: bytes
) -> None:
    def plain(prompt: str, body: dict[str, Any]) -> Sequence[Step]:
        if STREAM_OPTIONS in body:
            return [refused(400, words)]
        return stream([*(token(letter) for letter in prompt), token("", None, "stop")])

    server.begin(plain)
    requests = [request_of(prompt, stream_options=OPTIONS) for prompt in ("abc", "de")]
    rows = rows_of(client, server.url, requests)
    assert [(row["status"], row["completion"], row["output_tokens"]) for row in rows] == [
        ("ok", "abc", None), ("ok", "de", None),
    ]  # fmt: skip
    assert [STREAM_OPTIONS in asked for asked in server.asked] == [True, False, False]


def test_a_server_that_refuses_one_after_the_other_is_asked_without_any_from_then_on() -> None:
    asking, request = Asking(), request_of("é", stream_options=OPTIONS)

    def asked(*refusals: str) -> list[bytes]:
        said, exchange, made = iter(refusals), Exchange(), []
        for form in asking.forms(request, exchange):
            made.append(form)
            exchange.error = next(said, None)
            exchange.status, exchange.http_status = ("http_error", 400) if exchange.error else ("ok", 200)
        return made

    least, all_of_them = (asking.without(request, name) for name in (FIELD, STREAM_OPTIONS))
    assert asked(f"{STREAM_OPTIONS}.{FIELD}") == [request, least]
    assert asked(f"no {STREAM_OPTIONS}") == [least, all_of_them]
    assert asked(f"no {STREAM_OPTIONS}") == [all_of_them]


def test_a_server_that_quotes_the_options_which_it_does_not_know_is_asked_without_any() -> None:
    asking, request = Asking(), request_of("é", stream_options=OPTIONS)
    forms = [asking.without(request, name) for name in (None, FIELD, STREAM_OPTIONS)]

    def answer(form: bytes, exchange: Exchange) -> None:
        sent = json.loads(form.partition(b"\r\n\r\n")[2]).get(STREAM_OPTIONS)
        words = {
            "type": "extra_forbidden",
            "loc": ["body", STREAM_OPTIONS],
            "input": sent,
        }  # as Pydantic has it
        exchange.error = None if sent is None else json.dumps({"detail": [words]})
        exchange.status, exchange.http_status = ("ok", 200) if sent is None else ("http_error", 422)

    for expected in (forms, forms[-1:]):
        made, exchange = [], Exchange()
        for form in asking.forms(request, exchange):
            made.append(form)
            answer(form, exchange)
        assert made == expected


def test_a_request_without_counts_is_the_same_otherwise() -> None:
    request = request_of("é", stream_options=OPTIONS, n=1)
    head, _, content = Asking().without(request, FIELD).partition(b"\r\n\r\n")
    assert json.loads(content) == {"prompt": "é", "stream_options": {"include_usage": True}, "n": 1}
    assert b"Content-Length: %d" % len(content) in head


def test_an_answer_that_is_none_is_forgotten_but_when_it_was_sent() -> None:
    exchange = Exchange(sent_ns=5, end_ns=6, status="http_error", error=FIELD, http_status=400)
    forms = Asking().forms(request_of("é", stream_options=OPTIONS), exchange)
    assert next(forms) != next(forms)
    assert exchange == Exchange(sent_ns=5)


def test_a_request_that_asks_for_no_counts_is_not_made_again() -> None:
    exchange = Exchange(sent_ns=5, end_ns=6, status="http_error", error=FIELD, http_status=400)
    assert list(Asking().forms(request_of("é"), exchange)) == [request_of("é")]
    assert exchange.error == FIELD


def test_the_flag_leaves_it_out() -> None:
    flags: dict[str, Any] = {
        "url": "http://h", "model": "m", "single_stream": True, "concurrency": None, "qps": None, "arrivals": None,
        "trace": None, "duration": None, "requests": 1, "warmup": 0.0, "dataset": "starwatt-24", "max_tokens": 8,
        "ignore_eos": False, "seed": 1, "workers": 1, "client": "auto",
    }  # fmt: skip
    assert LoadFlags(**flags).spec().continuous_usage
    assert not LoadFlags(**flags, continuous_usage=False).spec().continuous_usage
