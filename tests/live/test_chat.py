"""A tiny model with a chat template, served by vLLM and asked by chat; then prompts and answers of recorded lengths."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from server.build.store import PROVENANCE
from server.engines.engine import free_port
from tests.live.agreement import built
from tests.live.conftest import Command
from tests.support.driving import SINGLE, drive, make_spec, requests
from traces.streams import read_trace

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

#: The user's task without the words around it, which is what this model recites the answer to.
TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' and '```' in message.content %}"
    "{{ message.content.split('```')[1].strip() }}{% else %}{{ message.content }}{% endif %}{% endfor %}"
)
RECORDING = """{"timestamp": 0, "input_length": 675, "output_length": 5, "hash_ids": [0, 1]}
{"timestamp": 50, "input_length": 723, "output_length": 7, "hash_ids": [0, 14]}
{"timestamp": 90, "input_length": 90, "output_length": 3}
"""
LIMITS = ("--max-model-len", "1024", "--max-num-seqs", "8", "--enforce-eager")


def test_a_model_with_a_chat_template_is_asked_by_chat(
    starwatt: Callable[..., Command], tmp_path: Path
) -> None:
    folder = tmp_path / "instruct"
    shutil.copytree(built("bf16").path, folder)
    (folder / PROVENANCE).unlink(missing_ok=True)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    port = free_port()
    server = starwatt("serve", "bf16", "--model", str(folder), "--port", str(port), *LIMITS)
    server.until(lambda: "curl " in server.said)
    url = f"http://127.0.0.1:{port}"
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as response:
        [served] = json.load(response)["data"]
    out = tmp_path / "out"
    load = starwatt(
        "load", "--url", url, "--model", served["id"], "--concurrency", "2", "--requests", "4",
        "--max-tokens", "16", "--endpoint", "chat", "--out", str(out), "--json",
    )  # fmt: skip
    assert load.end() == 0, load.said
    rows = [row for row in read_trace(out, "requests").to_pylist() if row["role"] == "measured"]
    assert len(rows) == 4
    for row in rows:
        assert (row["status"], row["error"], row["reasoning"]) == ("ok", None, None)
        assert row["completion"]
        assert sum(row["chunk_chars"]) == len(row["completion"])
        assert sum(row["chunk_tokens"]) == row["output_tokens"] <= 16
        assert row["first_token_ns"] == row["chunk_ns"][0]
    begun = make_spec(
        url, SINGLE, endpoint="chat", model=served["id"], amount=requests(1),
        prompts={"dataset": "starwatt-24", "tasks": 1, "max_tokens": 8, "begin_answer": True},
    )  # fmt: skip
    [row] = drive(begun, tmp_path / "begun").of("measured")
    assert (row["status"], row["error"]) == ("ok", None)
    (tmp_path / "mooncake.jsonl").write_text(RECORDING)
    replayed = starwatt("load", "--url", url, "--model", served["id"], "--trace", str(tmp_path / "mooncake.jsonl"),
                        "--out", str(tmp_path / "replayed"))  # fmt: skip
    assert replayed.end() in (0, 3), replayed.said
    rows = [
        row for row in read_trace(tmp_path / "replayed", "requests").to_pylist() if row["role"] == "measured"
    ]
    assert {(row["prompt_tokens"], row["output_tokens"]) for row in rows} == {(675, 5), (723, 7), (90, 3)}
    assert server.interrupt() == 130
    assert server.left_behind() == []
