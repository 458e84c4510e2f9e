"""Tokens are what the server can have meant, and unknown where it can't: never a figure that makes tokens dearer."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.answers.token_counts import Counts


class Said(NamedTuple):
    """Counts of chunks with text, the one after them, and what they mean."""

    of_chunks: list[int | None]
    after: int | None
    tokens: int | None
    of_each: list[int] | None


CASES = {
    "a running total": Said([1, 2, 3], None, 3, [1, 1, 1]),
    "a running total, said once more": Said([1, 2, 3], 3, 3, [1, 1, 1]),
    "several tokens a chunk": Said([3, 6, 9], 9, 9, [3, 3, 3]),
    "a total with a token that was not shown": Said([1, 2, 3], 4, 4, [1, 1, 1]),
    "a total alone": Said([None, None, None], 3, 3, None),
    "a total of more than the chunks": Said([None, None], 7, 7, None),
    "a total with the last chunk": Said([None, None, 3], None, 3, None),
    "zeros before the total": Said([0, 0, 0], 3, 3, None),
    "nothing": Said([None, None], None, None, None),
    "each chunk's own": Said([1, 1, 1], None, 3, [1, 1, 1]),
    "each chunk's own, and the total": Said([1, 1, 1], 3, 3, [1, 1, 1]),
    "each chunk's own, of several tokens": Said([3, 2, 3], None, 8, [3, 2, 3]),
    "each chunk's own, which grow, and the total": Said([2, 3, 4], 9, 9, [2, 3, 4]),
    "each chunk's own, and nothing for the end": Said([1, 1, 1], 0, 3, [1, 1, 1]),
    "null with the last chunk": Said([1, 2, None], None, 3, [1, 1, 1]),
    "null with the last chunk of several tokens": Said([3, 6, None], None, None, None),
    "null with the last chunks": Said([1, None, None], None, None, None),
    "null in the middle": Said([1, None, 3], None, 3, None),
    "fewer than chunks": Said([None, None, None], 2, None, None),
    "a total that lags": Said([0, 1, 2], None, None, None),
    "always the same": Said([8, 8, 8], None, 8, None),
    "a total below what was counted": Said([1, 2, 3], 2, None, None),
    "one chunk": Said([1], 1, 1, [1]),
    "no chunk": Said([], 0, 0, []),
    "no chunk and no count": Said([], None, None, None),
}


@pytest.mark.parametrize("name", CASES)
def test_counts_are_read_as_they_can_be_meant(name: str) -> None:
    said = CASES[name]
    read = Counts(said.of_chunks, [True] * len(said.of_chunks), said.after).read()
    assert read == (said.tokens, said.of_each)


def test_a_chunk_without_text_may_bring_no_token() -> None:
    assert Counts([1, 2, 2], [True, True, False], 2).read() == (2, [1, 1, 0])


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 9), st.booleans()), max_size=6),
    st.none() | st.integers(0, 20),
)
def test_no_reading_has_fewer_tokens_than_chunks_with_text(
    chunks: list[tuple[int | None, bool]], after: int | None
) -> None:
    with_text = [text for _, text in chunks]
    tokens, of_each = Counts([count for count, _ in chunks], with_text, after).read()
    assert tokens is None or tokens >= sum(with_text)
    if of_each is not None:
        assert tokens is not None
        assert sum(of_each) <= tokens
        assert all(count >= text for count, text in zip(of_each, with_text, strict=True))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.booleans())
def test_a_running_total_gives_every_chunk_its_own(tokens: list[int], said_again: bool) -> None:
    running = [sum(tokens[: at + 1]) for at in range(len(tokens))]
    read = Counts(running, [True] * len(tokens), running[-1] if said_again else None).read()
    assert read == (sum(tokens), tokens)
