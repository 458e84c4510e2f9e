"""What goes over the wire."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from configs.addresses import shown_url
from configs.datasets import load_dataset
from configs.prompt_format import STOP_STRINGS, render_prompt
from configs.prompt_formats import EndpointKind
from configs.schema import FixedOutput, Prompts, RecordedOutput
from loadgen.planning.payload import Endpoint, request_bytes
from starwatt_errors import UsageError
from tests.support.driving import SINGLE, drive, make_spec
from tests.support.server import TruthServer

TASK = load_dataset("starwatt-24").tasks[0]
KEY = "sk-quite-secret-20"


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:8000", Endpoint("127.0.0.1", 8000, False, "/v1/completions")),
        ("http://127.0.0.1:8000/v1/", Endpoint("127.0.0.1", 8000, False, "/v1/completions")),
        ("http://h:1/v1/completions", Endpoint("h", 1, False, "/v1/completions")),
        ("localhost:8000", Endpoint("localhost", 8000, False, "/v1/completions")),
        ("https://h/prefix/v1", Endpoint("h", 443, True, "/prefix/v1/completions")),
        ("http://[::1]:8000", Endpoint("::1", 8000, False, "/v1/completions")),
        ("http://h", Endpoint("h", 80, False, "/v1/completions")),
    ],
)
def test_an_address_is_taken_with_and_without_v1(url: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(url) == endpoint


@pytest.mark.parametrize("url", ["", "ftp://h", "http://", "http://h:x", "http://h:99999", "unix:///run/s"])
def test_what_is_no_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        Endpoint.parse(url)


def body_of(prompts: Prompts, **changes: Any) -> dict[str, object]:
    """The body of a request for the first task."""
    spec = make_spec("http://h", SINGLE, prompts=prompts.model_dump(), **changes)
    data = request_bytes(Endpoint.parse("http://h"), spec, TASK, None)
    head, _, content = data.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(content)}".encode() in head
    body: dict[str, object] = json.loads(content)
    return body


def test_natural_output_ends_at_stop_strings() -> None:
    body = body_of(Prompts(dataset="starwatt-24", max_tokens=64))
    assert body["stop"] == list(STOP_STRINGS)
    assert body["max_tokens"] == 64
    assert "ignore_eos" not in body


def test_fixed_output_has_no_stop_strings_and_ignores_the_end_of_text() -> None:
    body = body_of(Prompts(dataset="starwatt-24", max_tokens=64, output=FixedOutput(fixed=7)))
    assert (body["max_tokens"], body["ignore_eos"]) == (7, True)
    assert "stop" not in body


def test_a_request_asks_for_a_stream_that_counts_its_tokens_and_sets_nothing_nobody_set() -> None:
    body = body_of(Prompts(temperature=0.2))
    assert body["prompt"] == render_prompt(TASK.prompt)
    assert body["temperature"] == 0.2
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert set(body) == {"model", "prompt", "temperature", "stream", "stream_options", "max_tokens", "stop"}


def test_counts_of_chunks_are_not_asked_for_where_they_are_not_wanted() -> None:
    body = body_of(Prompts(dataset="starwatt-24"), continuous_usage=False)
    assert body["stream_options"] == {"include_usage": True}


def test_a_probe_sends_the_beginning_of_each_prompt() -> None:
    assert body_of(Prompts(characters=12))["prompt"] == render_prompt(TASK.prompt)[:12]


def test_an_ipv6_host_is_written_in_brackets() -> None:
    data = request_bytes(Endpoint.parse("http://[::1]:8000"), make_spec("http://h", SINGLE), TASK, None)
    assert b"\r\nHost: [::1]:8000\r\n" in data


def test_the_key_goes_in_the_header_and_into_no_file(tmp_path: Path) -> None:
    with TruthServer() as server:
        driven = drive(make_spec(server.url, SINGLE), tmp_path, api_key=KEY)
        without = drive(make_spec(server.url, SINGLE), tmp_path / "without")
    asked = [request.headers.get("authorization") for request in server.asked]
    assert asked == [f"Bearer {KEY}"] * len(driven.rows) + [None] * len(without.rows)
    assert asked[0] is not None
    for file in tmp_path.rglob("*.parquet"):
        assert KEY.encode() not in file.read_bytes()
    assert KEY not in str(driven)


def test_fixed_output_gives_so_many_tokens_in_every_row(tmp_path: Path) -> None:
    prompts = {"dataset": "starwatt-24", "tasks": 3, "max_tokens": 9, "output": {"fixed": 9}}
    with TruthServer() as server:
        driven = drive(make_spec(server.url, SINGLE, prompts=prompts), tmp_path)
    assert {row["output_tokens"] for row in driven.rows} == {9}
    assert {asked.path for asked in server.asked} == {"/v1/completions"}


def recorded() -> Prompts:
    """Lengths that were recorded somewhere."""
    return Prompts(dataset="starwatt-24", output=RecordedOutput(recorded=Path("lengths.csv")))


def test_recorded_output_forces_each_task_to_its_own_length() -> None:
    body = body_of(recorded(), lengths={TASK.task_id: 37, "other": 5})
    assert (body["max_tokens"], body["ignore_eos"]) == (37, True)
    assert "stop" not in body
    with pytest.raises(UsageError, match=rf"lengths\.csv has no length for {TASK.task_id}"):
        body_of(recorded(), lengths={"other": 5})


def test_transformers_is_told_a_fixed_length_in_its_own_words() -> None:
    prompts = Prompts(dataset="starwatt-24", output=FixedOutput(fixed=48))
    body = body_of(prompts, dialect="transformers")
    forced = json.loads(str(body["generation_config"]))
    assert forced == {"min_new_tokens": 48, "max_new_tokens": 48, "do_sample": False}
    assert "ignore_eos" not in body, "transformers serve refuses fields that it does not know"


@pytest.mark.parametrize(
    ("url", "kind", "path"),
    [
        ("http://h/v3/chat/completions", "chat", "/v3/chat/completions"),
        ("https://h/openai/deployments/d/chat/completions?api-version=1", "chat",
         "/openai/deployments/d/chat/completions?api-version=1"),
        ("https://h/openai/deployments/d/completions/", "completions", "/openai/deployments/d/completions"),
        ("http://h/completions", "completions", "/completions"),
        ("http://h/v1/completions", "chat", "/v1/chat/completions"),
    ],
)  # fmt: skip
def test_the_whole_address_of_an_api_is_asked_as_it_stands(url: str, kind: EndpointKind, path: str) -> None:
    assert Endpoint.parse(url, kind).path == path


@pytest.mark.parametrize(
    ("url", "path", "authority"),
    [
        ("https://h/openai/v1?api-version=2", "/openai/v1/completions?api-version=2", "h"),
        ("http://h:80", "/v1/completions", "h"),
        ("https://h:443/v1", "/v1/completions", "h"),
        ("https://h:80", "/v1/completions", "h:80"),
        ("http://h/my models/é%20x", "/my%20models/%C3%A9%20x/v1/completions", "h"),
        ("http://h/v1?q=a b#part", "/v1/completions?q=a%20b", "h"),
        ("http://bücher.example:8000", "/v1/completions", "xn--bcher-kva.example:8000"),
        ("localhost:8000/v1?to=http://x", "/v1/completions?to=http://x", "localhost:8000"),
    ],
)
def test_query_blanks_and_letters_of_an_address_are_sent_as_http_has_them(
    url: str, path: str, authority: str
) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.path, endpoint.authority) == (path, authority)
    head = request_bytes(endpoint, make_spec("http://h", SINGLE), TASK, None).partition(b"\r\n\r\n")[0]
    assert head.decode().split("\r\n")[:2] == [f"POST {path} HTTP/1.1", f"Host: {authority}"]


@pytest.mark.parametrize("client", ["wire", "httptools", "aiohttp"])
def test_a_user_and_a_password_are_basic_auth_and_shown_nowhere(tmp_path: Path, client: str) -> None:
    with TruthServer() as server:
        url = server.url.replace("//", "//me%40home:s%C3%A9cret@") + "/v1?api-version=3"
        driven = drive(make_spec(url, SINGLE, client=client), tmp_path)
        drive(make_spec(url, SINGLE, client=client), tmp_path / "key", api_key=KEY)
    basic = "Basic " + base64.b64encode("me@home:sécret".encode()).decode()
    rows = len(driven.rows)
    assert {request.headers["authorization"] for request in server.asked[:rows]} == {basic}
    assert {request.headers["authorization"] for request in server.asked[rows:]} == {f"Bearer {KEY}"}
    assert {request.path for request in server.asked} == {"/v1/completions?api-version=3"}
    assert "cret" not in repr(Endpoint.parse(url))
    assert "cret" not in shown_url(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://u:secret@h/v1/chat/completions", "not to the chat API"),
        ("http://u:secret@h\r\nX: y", "control character"),
        ("http://u:secret@my host", "no blank"),
        ("http://u:secret@h:x", "--url http://h:x"),
    ],
)
def test_an_address_that_is_refused_is_named_without_its_password(url: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        Endpoint.parse(url)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["sk\n", "sk\r\nX-Other: 1", "sk\x00", "sk\x7f"])
def test_a_key_with_a_control_character_is_in_no_request(key: str) -> None:
    with pytest.raises(UsageError, match="holds a newline"):
        request_bytes(Endpoint.parse("http://h"), make_spec("http://h", SINGLE), TASK, key)
