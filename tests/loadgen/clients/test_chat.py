"""Every client asks by chat, and makes the same row of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.datasets import load_dataset
from configs.prompt_formats import format_of
from tests.support.driving import SINGLE, drive, make_spec, requests
from tests.support.server import Answer, TruthServer


def delta(content: dict[str, Any], tokens: int, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": content, "finish_reason": finish}
    usage = {"prompt_tokens": 7, "completion_tokens": tokens}
    return b"data: " + json.dumps({"choices": [choice], "usage": usage}).encode() + b"\n\n"


EVENTS = (
    delta({"role": "assistant", "content": ""}, 0),
    delta({"reasoning": "Hm."}, 2),
    delta({"content": "x = 1\n"}, 5),
    delta({"content": ""}, 6, "stop"),
    b"data: [DONE]\n\n",
)


@pytest.mark.parametrize("client", ["wire", "httptools", "aiohttp"])
def test_a_chat_is_asked_in_its_words_and_its_answer_is_taken_apart(client: str, tmp_path: Path) -> None:
    with TruthServer(lambda _: Answer(events=EVENTS)) as server:
        spec = make_spec(
            server.url + "/v1/chat/completions", SINGLE, endpoint="chat", client=client, amount=requests(1)
        )
        [row] = drive(spec, tmp_path).of("measured")
    [asked] = server.asked
    task = load_dataset("starwatt-24").by_id[row["task_id"]]
    assert asked.path == "/v1/chat/completions"
    said = format_of(task, "chat").render(task.prompt)
    assert asked.body["messages"] == [{"role": "user", "content": said}]
    assert {"prompt", "stop"}.isdisjoint(asked.body)
    assert asked.body["max_tokens"] == 64
    assert (row["status"], row["error"], row["finish_reason"]) == ("ok", None, "stop")
    assert (row["completion"], row["reasoning"]) == ("x = 1\n", "Hm.")
    assert (row["chunk_tokens"], row["chunk_chars"]) == ([2, 3, 1], [0, 6, 0])
    assert (row["output_tokens"], row["reasoning_tokens"], row["prompt_tokens"]) == (6, 2, 7)
    assert row["first_token_ns"] == row["chunk_ns"][0]


def test_a_length_that_is_forced_is_forced_by_chat_too(tmp_path: Path) -> None:
    with TruthServer(lambda _: Answer(events=EVENTS)) as server:
        prompts = {"dataset": "starwatt-24", "tasks": 1, "max_tokens": 64, "output": {"fixed": 6}}
        drive(make_spec(server.url, SINGLE, endpoint="chat", prompts=prompts), tmp_path)
    assert (server.asked[0].body["max_tokens"], server.asked[0].body["ignore_eos"]) == (6, True)


def test_an_answer_is_begun_where_the_study_says_so(tmp_path: Path) -> None:
    with TruthServer(lambda _: Answer(events=EVENTS)) as server:
        prompts = {"dataset": "starwatt-24", "tasks": 1, "max_tokens": 64, "begin_answer": True}
        drive(make_spec(server.url, SINGLE, endpoint="chat", prompts=prompts), tmp_path)
    body = server.asked[0].body
    begun = format_of(load_dataset("starwatt-24").tasks[0], "chat", begun=True)
    assert body["messages"][1] == {"role": "assistant", "content": begun.beginning}
    assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)
    assert body["stop"] == list(begun.stop)
