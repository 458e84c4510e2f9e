"""Find the words that a prompt of recorded length is made of, and how many: as the server itself counts them.

The server is asked before the load, for one token each time, and says how long each prompt was (``usage``). Every word
is at least one token, so that words which together are as many tokens as words are one token each. Most servers are
through with three such requests; where a vocabulary is small, halves are asked until enough such words are found.
"""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Sequence
from functools import partial

from loadgen.answers.chunks import CHAT, COMPLETION
from loadgen.answers.sse import decode_answer
from loadgen.planning.made_up import ANCHOR
from loadgen.planning.payload import Endpoint, body_of, forced
from loadgen.planning.recorded import with_lengths
from loadgen.spec import COMMON_WORDS, LoadSpec, Wording
from study.measure.one_request import answer_to

Count = Callable[[str], int | None]
"""Tokens of a prompt; None where nobody says."""

_TIMEOUT_S = 60.0
_ENOUGH, _FEWEST = 24, 8
_MOST_ASKED = 64


def with_wording(spec: LoadSpec, key: str | None) -> LoadSpec:
    """Return the load with what its prompts are made of; as it is where these come from a data set."""
    if with_lengths(spec.load) is None:
        return spec
    return spec.model_copy(update={"wording": counted_wording(partial(_prompt_tokens, spec, key))})


def counted_wording(count: Count, words: Sequence[str] = COMMON_WORDS) -> Wording:
    """Find words that ``count`` counts as one token each; else take all, for their mean number of tokens."""
    overhead = count(_prompt(()))
    if overhead is None:
        return Wording()
    single = _single_tokens(count, words, overhead)
    if len(single) >= _FEWEST and count(_prompt([*single, *reversed(single)])) == overhead + 2 * len(single):
        return Wording(words=tuple(single), overhead_tokens=overhead, counted="exactly")
    once, twice = count(_prompt(words)), count(_prompt([*words, *reversed(words)]))
    if once is None or twice is None or twice <= once:
        return Wording()
    mean = min(max((twice - once) / len(words), 0.1), 64.0)
    return Wording(words=tuple(words), overhead_tokens=overhead, tokens_per_word=mean, counted="in the mean")


def wording_words(wording: Wording) -> str:
    """Say how prompts come to have their lengths."""
    if wording.counted == "exactly":
        return f"prompts are made of {len(wording.words)} words that the server counts as one token each"
    if wording.counted == "in the mean":
        return (
            f"prompts have their lengths in the mean alone: the server counts {wording.tokens_per_word:.3g} tokens a "
            "word; asked_prompt_tokens and prompt_tokens of each request say how far they are apart"
        )
    return "the server does not say how many tokens a prompt has: one a word is taken, and none was checked"


def _single_tokens(count: Count, words: Sequence[str], overhead: int) -> list[str]:
    single: list[str] = []
    groups, asked = [list(words)], 0
    while groups and len(single) < _ENOUGH and asked < _MOST_ASKED:
        group, asked = groups.pop(0), asked + 1
        if count(_prompt(group)) == overhead + len(group):
            single += group
        elif len(group) > 1:
            groups += [group[: len(group) // 2], group[len(group) // 2 :]]
    return single


def _prompt(words: Sequence[str]) -> str:
    return " ".join((ANCHOR.decode(), *words))


def _prompt_tokens(spec: LoadSpec, key: str | None, text: str) -> int | None:
    """Return what the server says of a prompt that is asked as the load asks its own, but for counts with every chunk.

    Some servers refuse those by name; the load then asks without them.
    """
    endpoint = Endpoint.parse(spec.url, spec.endpoint)
    body = body_of(spec.model_copy(update={"continuous_usage": False}), text) | forced(spec, 1)
    try:
        answer, content_type = answer_to(endpoint, body, key, _TIMEOUT_S, client=spec.client)
    except urllib.error.HTTPError as error:  # the load is told the same, or is asked without any counts
        error.close()
        return None
    except OSError:
        return None
    decoded = decode_answer([0], [answer], content_type, CHAT if spec.endpoint == "chat" else COMPLETION)
    return decoded.prompt_tokens
