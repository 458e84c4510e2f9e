"""Which words prompts of recorded lengths are made of: found by asking a server that counts in its own way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.recordings import Lengths
from loadgen.answers.continuous_usage import FIELD
from loadgen.planning.made_up import MadeUpText
from loadgen.spec import COMMON_WORDS, Wording
from study.measure.wording import Count, counted_wording, with_wording, wording_words
from tests.support.driving import SINGLE, make_spec
from tests.support.server import Answer, Asked, TruthServer

MARKS = 3
"""Tokens that the server puts before every prompt."""


def counting(of_a_word: Callable[[str], int], asked: list[str]) -> Count:
    """A server that takes a prompt for so many tokens, and notes what it is asked."""

    def count(text: str) -> int:
        asked.append(text)
        return MARKS + sum(map(of_a_word, text.split()))

    return count


def test_a_large_vocabulary_is_known_after_three_questions() -> None:
    asked: list[str] = []
    wording = counted_wording(counting(lambda _: 1, asked))
    assert wording == Wording(words=COMMON_WORDS, overhead_tokens=MARKS + 1, counted="exactly")
    assert len(asked) == 3


def test_words_of_several_tokens_are_not_taken() -> None:
    long = {"the", "return", "which", "string", "value"}
    asked: list[str] = []
    wording = counted_wording(counting(lambda word: 2 if word in long else 1, asked))
    assert wording.counted == "exactly"
    assert long.isdisjoint(wording.words)
    assert len(wording.words) >= 24
    assert len(asked) < 40


def test_where_hardly_a_word_is_one_token_lengths_hold_in_the_mean() -> None:
    wording = counted_wording(counting(len, []))
    assert wording.counted == "in the mean"
    assert wording.tokens_per_word == pytest.approx(sum(map(len, COMMON_WORDS)) / len(COMMON_WORDS))
    assert "in the mean alone" in wording_words(wording)


def test_a_server_that_counts_nothing_is_said_to_have_checked_nothing() -> None:
    wording = counted_wording(lambda _: None)
    assert (wording.counted, wording.tokens_per_word, wording.words) == ("by nobody", 1.0, COMMON_WORDS)
    assert "none was checked" in wording_words(wording)


def test_prompts_made_of_the_words_of_a_small_vocabulary_have_their_lengths_to_the_token() -> None:
    from server.build.tokenizer import fit_tokenizer  # imports transformers and torch

    corpus = [
        "the list of numbers is in the string and a value is for it to return " * 3,
        " as be at this by from",
    ]
    tokenizer = fit_tokenizer(corpus, 400, 512)

    def count(text: str) -> int:
        return 1 + len(tokenizer.encode(text))

    wording = counted_wording(count)
    assert wording.counted == "exactly"
    texts = MadeUpText(wording, 512, 20)
    for tokens in (2, 3, 40, 511, 512, 513, 2000):
        assert count(texts.text(tokens, 0, Lengths(tokens, 1)).decode()) == tokens


def told(asked: Asked) -> Answer:
    """One token a word, and what the server puts before it; counts with every chunk are refused."""
    if FIELD in asked.body["stream_options"]:
        return Answer(status=400, content=f"no {FIELD}".encode())
    text = asked.body["messages"][0]["content"] if "messages" in asked.body else asked.body["prompt"]
    choice = {"index": 0, "text": "x", "delta": {"content": "x"}, "finish_reason": "length"}
    used = {"prompt_tokens": MARKS + len(text.split()), "completion_tokens": 1}
    event = json.dumps({"choices": [choice], "usage": used}).encode()
    return Answer(events=(b"data: " + event + b"\n\n", b"data: [DONE]\n\n"))


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_a_server_is_asked_as_the_load_asks_it(tmp_path: Path, endpoint: str) -> None:
    (tmp_path / "day.csv").write_text("time,input_tokens,output_tokens\n0,10,2\n1,20,3\n")
    with TruthServer(told) as server:
        spec = make_spec(server.url, {"kind": "open", "trace": str(tmp_path / "day.csv")}, endpoint=endpoint)
        assert spec.continuous_usage
        wording = with_wording(spec, "sk-key").wording
        assert with_wording(make_spec(server.url, SINGLE), None).wording is None
    assert wording == Wording(words=COMMON_WORDS, overhead_tokens=MARKS + 1, counted="exactly")
    assert len(server.asked) == 3
    assert {(asked.body["max_tokens"], asked.headers["authorization"]) for asked in server.asked} == {
        (1, "Bearer sk-key")
    }


@pytest.mark.parametrize("answer", [Answer(status=400), Answer(usage="none"), Answer(ending="reset")])
def test_a_server_that_refuses_breaks_off_or_counts_nothing_leaves_the_load_as_it_is(
    tmp_path: Path, answer: Answer
) -> None:
    (tmp_path / "day.csv").write_text("time,input_tokens,output_tokens\n0,10,2\n1,20,3\n")
    with TruthServer(lambda _: answer) as server:
        spec = make_spec(server.url, {"kind": "open", "trace": str(tmp_path / "day.csv")})
        assert with_wording(spec, None).wording == Wording()
