"""A tiny Qwen2 in vLLM that speculates, asked by chat; then prompts and answers of recorded lengths."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from server.engines.engine import free_port
from tests.live.agreement import built
from tests.live.conftest import Command
from tests.support.driving import SINGLE, drive, make_spec, requests
from traces.streams import read_trace

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
RECORDING = """{"timestamp": 0, "input_length": 675, "output_length": 5, "hash_ids": [0, 1]}
{"timestamp": 50, "input_length": 723, "output_length": 7, "hash_ids": [0, 14]}
{"timestamp": 90, "input_length": 90, "output_length": 3}
"""
LIMITS = ("--max-model-len", "1024", "--max-num-seqs", "8", "--enforce-eager")


def tiny_qwen(folder: Path) -> Path:
    """A Qwen2 of two layers whose weights are drawn: what it says is no matter, and it says it again and again."""
    tokenizer = built("bf16").path
    torch.manual_seed(20)
    config = Qwen2Config(
        vocab_size=json.loads((tokenizer / "config.json").read_text())["vocab_size"], hidden_size=128,
        intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=4096, tie_word_embeddings=True,
    )  # fmt: skip
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    for file in tokenizer.glob("tokenizer*"):
        shutil.copy(file, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def test_a_model_of_another_family_that_speculates_is_asked_by_chat(
    starwatt: Callable[..., Command], tmp_path: Path
) -> None:
    port = free_port()
    model = tiny_qwen(tmp_path / "qwen2")
    server = starwatt("serve", "bf16+ngram", "--model", str(model), "--port", str(port), *LIMITS)
    server.until(lambda: "curl " in server.said)
    url = f"http://127.0.0.1:{port}"
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as response:
        [served] = json.load(response)["data"]
    out = tmp_path / "out"
    load = starwatt(
        "load", "--url", url, "--model", served["id"], "--concurrency", "2", "--requests", "4",
        "--max-tokens", "16", "--endpoint", "chat", "--out", str(out), "--json",
    )  # fmt: skip
    assert load.end() in (0, 3), load.said  # 3: on a busy machine requests may be sent late
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
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        drafted = re.search(
            r"^vllm:spec_decode_num_draft_tokens_total\S* (\S+)$", response.read().decode(), re.M
        )
    assert drafted is not None
    assert float(drafted[1]) > 0
    assert server.interrupt() == 130
    assert server.left_behind() == []
