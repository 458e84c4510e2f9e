"""A server that refuses every request: its cell fails at once with the server's words, and is tried once more."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from starwatt_errors import alike
from tests.support.command import starwatt
from traces.attempts import read_attempts
from traces.layout import RunDir

WORDS = "this model's maximum context length is 16 tokens"


class Refusing(BaseHTTPRequestHandler):
    """Lists a model, and answers no request for it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._answer(200, {"data": [{"id": "m"}]})
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(400, {"error": {"message": f"{WORDS}, request {id(self)}"}})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing of it."""


@pytest.fixture
def url() -> Iterator[str]:
    """Of a server that refuses."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_cell_whose_requests_are_all_refused_fails_at_once_and_twice_at_most(
    url: str, tmp_path: Path
) -> None:
    study = {
        "name": "refused",
        "models": ["m"],
        "baseline": "far",
        "variants": ["far"],
        "remote": {"far": {"url": url}},
        "loads": [{"kind": "closed", "concurrency": 4}],
        "prompts": {"dataset": "starwatt-24", "max_tokens": 12},
        "measure": {"passes": 1, "min_s": 3000},
        "phases": {"idle_s": 0.5, "warmup_s": 0, "rest_s": 0},
        "blocks": 1,
        "attempts": 9,
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    done = starwatt("run", tmp_path / "study.yaml", "--out", tmp_path / "run", "--json")
    assert done.returncode == 1
    assert WORDS in json.loads(done.stdout)["error"]
    [tries] = read_attempts(RunDir(tmp_path / "run")).values()
    assert len(tries) == 2
    assert tries[-1].final


def test_two_failures_are_alike_where_only_numbers_times_and_paths_differ() -> None:
    refusal = "12:00:01 pid=17 0x7f3a /tmp/a-x9: you asked for 600 tokens"
    assert alike(refusal) == alike("13:10:59 pid=9 0xbeef /tmp/b-y2: you asked for 77 tokens")
    assert alike(refusal) != alike("12:00:01 pid=17 0x7f3a /tmp/a-x9: you asked for no tokens")
