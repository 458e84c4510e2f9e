"""How servers really stream a chat: what is the answer, what was thought before it, and which tokens are whose."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from loadgen.answers.chunks import CHAT
from loadgen.answers.sse import Decoded, decode_answer

DONE = b"data: [DONE]\n\n"


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def delta(content: dict[str, Any], finish: Any = None, *, tokens: int | None = None, **more: Any) -> bytes:
    """An event with one choice; ``tokens``: all so far."""
    data: dict[str, Any] = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": content}]}
    data["choices"][0]["finish_reason"] = finish
    if tokens is not None:
        data["usage"] = {"prompt_tokens": 5, "completion_tokens": tokens}
    return event({**data, **more})


def total(tokens: int, **more: Any) -> bytes:
    return event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens, **more}})


def decoded(events: list[bytes]) -> Decoded:
    """Each event came in a piece of its own, the first at 1 ns."""
    return decode_answer(list(range(1, len(events) + 1)), events, "text/event-stream", CHAT)


class Case(NamedTuple):
    """A stream, and what is made of it."""

    events: list[bytes]
    completion: str = "ab"
    chunk_ns: tuple[int, ...] = (2, 3)
    chunk_tokens: tuple[int, ...] | None = (1, 1)
    chunk_chars: tuple[int, ...] = (1, 1)
    output_tokens: int | None = 2
    finish: str = "stop"
    reasoning: str = ""
    reasoning_tokens: int | None = None


ROLE = {"role": "assistant", "content": ""}
FORMS: dict[str, Case] = {
    "vLLM, counting as it streams": Case([
        delta(ROLE, tokens=0), delta({"content": "a"}, tokens=1), delta({"content": "b"}, tokens=2),
        delta({"content": ""}, "stop", tokens=3), total(3), DONE,
    ], chunk_ns=(2, 3, 4), chunk_tokens=(1, 1, 1), chunk_chars=(1, 1, 0), output_tokens=3),
    "vLLM, the reason with the last text": Case([
        delta(ROLE, tokens=0), delta({"content": "a"}, tokens=1), delta({"content": "b"}, "length", tokens=2),
        total(2), DONE,
    ], finish="length"),
    "vLLM, thoughts under its newer name": Case([
        delta(ROLE, tokens=0), delta({"reasoning": "h"}, tokens=1), delta({"reasoning": "m\n"}, tokens=3),
        delta({"content": "a"}, tokens=4), delta({"content": "b"}, "stop", tokens=5), total(5), DONE,
    ], chunk_ns=(2, 3, 4, 5), chunk_tokens=(1, 2, 1, 1), chunk_chars=(0, 0, 1, 1), output_tokens=5,
       reasoning="hm\n", reasoning_tokens=3),
    "DeepSeek, thoughts beside a content of null": Case([
        delta({"role": "assistant", "content": None, "reasoning_content": ""}),
        delta({"content": None, "reasoning_content": "hm"}), delta({"content": "a", "reasoning_content": None}),
        delta({"content": "b"}), delta({"content": "", "reasoning_content": None}, "stop"),
        total(9, completion_tokens_details={"reasoning_tokens": 6}), DONE,
    ], chunk_ns=(2, 3, 4), chunk_tokens=None, chunk_chars=(0, 1, 1), output_tokens=9,
       reasoning="hm", reasoning_tokens=6),
    "both names of thoughts at once": Case([
        delta(ROLE), delta({"reasoning": "hm", "reasoning_content": "hm"}), delta({"content": "ab"}, "stop"), DONE,
    ], chunk_tokens=None, chunk_chars=(0, 2), output_tokens=None, reasoning="hm"),
    "SGLang, whose reason is an object": Case([
        delta({"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None}, matched_stop=None),
        delta({"role": None, "content": "a"}), delta({"role": None, "content": "b"}),
        delta({"role": None, "content": None}, {"type": "stop", "matched": 2}), total(2), DONE,
    ], chunk_tokens=None),
    "TGI, a role with every text": Case([
        delta({"role": "assistant", "content": "a"}), delta({"role": "assistant", "content": "b"}),
        delta({"role": "assistant", "content": ""}, "eos_token", usage=None), total(3), DONE,
    ], chunk_ns=(1, 2), chunk_tokens=None, output_tokens=3, finish="eos_token"),
    "llama.cpp, a first content of null and a last delta of nothing": Case([
        delta({"role": "assistant", "content": None}), delta({"content": "a"}), delta({"content": "b"}),
        delta({}, "stop"), total(2), DONE,
    ], chunk_tokens=None),
    "Ollama, an empty text at the end": Case([
        delta({"role": "assistant", "content": "a"}), delta({"role": "assistant", "content": "b"}),
        delta({"role": "assistant", "content": ""}, "stop"), total(2), DONE,
    ], chunk_ns=(1, 2), chunk_tokens=None),
    "OpenAI, null counts and hidden thoughts": Case([
        delta({"role": "assistant", "content": "", "refusal": None}, usage=None, obfuscation="x"),
        delta({"content": "a"}, usage=None), delta({"content": "b"}, usage=None), delta({}, "stop", usage=None),
        total(8, completion_tokens_details={"reasoning_tokens": 6, "audio_tokens": 0}), DONE,
    ], chunk_tokens=None, output_tokens=8, reasoning_tokens=6),
    "Azure, a first event about filters": Case([
        event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}), delta({"content": "a"}),
        delta({"content": "b"}, "stop", content_filter_results={}), DONE,
    ], chunk_tokens=None, output_tokens=None),
    "Moonshot, counts within the choice": Case([
        delta(ROLE), delta({"content": "a"}), delta({"content": "b"}),
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop",
                            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}]}), DONE,
    ], chunk_tokens=None),
    "Moonshot, null counts beside the choices": Case([
        delta(ROLE), delta({"content": "a"}), delta({"content": "b"}),
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop",
                            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}], "usage": None}),
        DONE,
    ], chunk_tokens=None),
    "Groq, counts under a name of its own": Case([
        delta(ROLE, x_groq={"id": "req_1"}), delta({"content": "a"}), delta({"content": "b"}),
        delta({}, "stop", x_groq={"id": "req_1", "usage": {
            "queue_time": 0.02, "prompt_tokens": 5, "prompt_time": 0.01, "completion_tokens": 2, "total_tokens": 7,
        }}), DONE,
    ], chunk_tokens=None),
    "LM Studio, no counts": Case([
        delta({"role": "assistant", "content": "a"}), delta({"role": "assistant", "content": "b"}),
        delta({}, "stop"), DONE,
    ], chunk_ns=(1, 2), chunk_tokens=None, output_tokens=None),
    "Mistral, a content of parts": Case([
        delta({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
        delta({"content": "a"}), delta({"content": [{"type": "text", "text": "b"}]}, "stop", tokens=4), DONE,
    ], chunk_ns=(1, 2, 3), chunk_tokens=None, chunk_chars=(0, 1, 1), output_tokens=4, reasoning="hm"),
    "OpenRouter, comments and thoughts of null": Case([
        b": OPENROUTER PROCESSING\n\n", delta({"role": "assistant", "content": "a", "reasoning": None}),
        delta({"content": "b", "reasoning": None}, "stop", native_finish_reason="STOP"), DONE,
    ], chunk_tokens=None, output_tokens=None),
    "a refusal is what it says": Case([
        delta({"role": "assistant", "content": None, "refusal": ""}), delta({"refusal": "a"}), delta({"refusal": "b"}),
        delta({}, "stop"), DONE,
    ], chunk_tokens=None, output_tokens=None),
    "a call of a tool is tokens without text": Case([
        delta(ROLE, tokens=0), delta({"content": "ab"}, tokens=1),
        delta({"tool_calls": [{"index": 0, "function": {"name": "run", "arguments": "{}"}}]}, tokens=4),
        delta({}, "tool_calls", tokens=4), total(4), DONE,
    ], chunk_tokens=(1, 3), chunk_chars=(2, 0), output_tokens=4, finish="tool_calls"),
    "a message in place of a delta": Case([
        event({"choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}]}),
        DONE,
    ], chunk_ns=(1,), chunk_tokens=None, chunk_chars=(2,), output_tokens=None),
    "all in one write": Case([b"".join([
        delta(ROLE, tokens=0), delta({"content": "a"}, tokens=1), delta({"content": "b"}, "stop", tokens=2), total(2),
        DONE,
    ])], chunk_ns=(1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_chat_is_read_whichever_server_streams_it(name: str) -> None:
    case = FORMS[name]
    answer = decoded(case.events)
    assert answer.problem is None
    assert answer.completion == case.completion
    assert tuple(answer.chunk_ns) == case.chunk_ns
    assert (None if answer.chunk_tokens is None else tuple(answer.chunk_tokens)) == case.chunk_tokens
    assert answer.chunk_chars == list(case.chunk_chars)
    assert answer.output_tokens == case.output_tokens
    assert answer.finish_reason == case.finish
    assert (answer.reasoning, answer.reasoning_tokens) == (case.reasoning, case.reasoning_tokens)


def test_the_first_token_is_the_first_that_was_generated_a_thought_too_and_no_role() -> None:
    thought = decoded(FORMS["vLLM, thoughts under its newer name"].events)
    assert thought.chunk_ns[0] == 2


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([event({"choices": [{"index": 0, "text": "a", "finish_reason": None}]}), DONE], "chunks of a completion"),
        ([delta({"content": 7}), DONE], "content is no text"),
        ([event({"choices": [{"delta": "a"}]}), DONE], "delta is no object"),
        ([delta(ROLE), event({"error": {"message": "out of memory", "code": 500}}), DONE], "out of memory"),
        ([delta(ROLE), event({"object": "error", "message": "no"}), DONE], "the server sent an error"),
    ],
)  # fmt: skip
def test_what_is_no_chat_is_told(events: list[bytes], says: str) -> None:
    problem = decoded(events).problem
    assert problem is not None
    assert says in problem


def test_half_a_character_makes_the_whole_one_and_no_count_of_characters() -> None:
    first, second = json.dumps("😀")[1:-1][:6], json.dumps("😀")[1:-1][6:]
    parts = [
        b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % half.encode() for half in (first, second)
    ]
    answer = decoded([*parts, delta({}, "stop"), DONE])
    assert answer.completion == "😀"
    assert answer.chunk_chars is None
