"""A question goes straight to the engine that it is for, tells its key to nobody else, and stands odd answers."""

from __future__ import annotations

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from server.engines.asking import answer_of, read_answer
from server.engines.engine_metrics import parse_metrics
from server.engines.remote import RemoteEngine
from starwatt_errors import EngineError

MODELS = b'{"data": [{"id": "m"}]}'
DEAD_PROXY = "http://127.0.0.1:9"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        seen: list[str | None] = self.server.keys  # type: ignore[attr-defined]
        answers: dict[str, bytes | str] = self.server.answers  # type: ignore[attr-defined]
        seen.append(self.headers["Authorization"])
        answer = answers.get(self.path)
        self.send_response(404 if answer is None else 307 if isinstance(answer, str) else 200)
        if isinstance(answer, str):
            self.send_header("Location", answer)
        self.end_headers()
        if isinstance(answer, bytes):
            self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def answering(answers: dict[str, bytes | str]) -> Iterator[tuple[str, list[str | None]]]:
    """A server with these answers by path, text being another place; its address, and the keys that it was told."""
    keys: list[str | None] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.answers, server.keys = answers, keys  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", keys
        finally:
            server.shutdown()
            thread.join()


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, DEAD_PROXY)
    monkeypatch.delenv("no_proxy", raising=False)
    with answering({"/v1/models": MODELS}) as (url, _):
        assert answer_of(f"{url}/v1/models", 20) == MODELS


def test_the_proxy_of_the_environment_is_asked_where_the_load_goes_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering({"http://engine.invalid/v1/models": MODELS}) as (proxy, _):
        monkeypatch.setenv("http_proxy", proxy)
        request = urllib.request.Request("http://engine.invalid/v1/models")
        assert read_answer(request, 20, by_proxy=True)[0] == MODELS


def test_what_asks_is_made_once_for_all_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering({"/a": b"yes"}) as (url, _):
        answer_of(f"{url}/a", 20)
        monkeypatch.delattr(urllib.request, "build_opener")
        assert answer_of(f"{url}/a", 20) == b"yes"


def test_a_key_follows_to_another_path_and_to_no_other_server() -> None:
    with answering({"/there": b"yes"}) as (other, told):
        with answering({"/a": "/b", "/b": b"here", "/away": f"{other}/there"}) as (url, own):
            assert answer_of(f"{url}/a", 20, "key") == b"here"
            assert own == ["Bearer key", "Bearer key"]
            assert answer_of(f"{url}/away", 20, "key") == b"yes"
        assert told == [None]


@pytest.mark.parametrize("start", [b"NaN", b"+Inf", b"yesterday", b"1e400"])
def test_what_a_remote_engine_does_not_know_of_itself_is_null(start: bytes) -> None:
    answers: dict[str, bytes | str] = {
        "/v1/models": b'{"data": [{"id": "m", "max_model_len": true}]}',
        "/metrics": b"process_start_time_seconds " + start,
        "/version": b"[" * 100_000,
    }
    with answering(answers) as (url, _):
        engine = RemoteEngine(url)
        engine.wait_ready(0)
    assert (engine.model, engine.served.version) == ("m", None)
    assert (engine.served.started_s, engine.served.max_model_len) == (None, None)


@pytest.mark.parametrize(
    "listed", [b"[" * 100_000, b'{"data": ["m"]}', b'{"data": null}', b'{"data": {"id": "m"}}', b"\xff"]
)
def test_what_lists_no_models_is_told_so(listed: bytes) -> None:
    with answering({"/v1/models": listed}) as (url, _), pytest.raises(EngineError, match="lists no models"):
        RemoteEngine(url).wait_ready(0)


def test_a_metric_that_is_no_number_is_missing() -> None:
    text = "vllm:num_requests_running NaN\nvllm:num_requests_waiting 2\nvllm:prompt_tokens_total +Inf\n"
    assert parse_metrics(text) == {"waiting": 2.0}
