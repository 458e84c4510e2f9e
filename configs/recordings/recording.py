"""Put a recording of requests in order, read its numbers, and say what of its file is not in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from configs.files.strict import MOST_TOKENS
from starwatt_errors import UsageError

MOONCAKE_BLOCK = 512
"""Tokens that one of Mooncake's hash_ids stands for; the last one of a prompt for what is left of it."""
_BLOCKS = (MOONCAKE_BLOCK, 256, 128, 64, 32, 16)
"""Tokens of a block by which servers cache prompts, and by which other tools write hash_ids."""
_WHOLE = re.compile(r"(\d{1,9})(?:\.0*)?", re.ASCII)
_LONGEST = 40
_SHORT = 7  # digits that are fewer than those of MOST_TOKENS


@dataclass(frozen=True, slots=True)
class Lengths:
    """Hold what is known of a request: tokens of prompt and answer, and which blocks its prompt begins with."""

    prompt_tokens: int
    output_tokens: int
    block_ids: tuple[int | str, ...] = ()
    """Prompts that begin with the same ids begin with the same text."""

    @property
    def tokens(self) -> int:
        """Count what the request takes of a model's context."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One request of a file, with where it stands there."""

    number: int
    offset_ns: int
    lengths: Lengths


@dataclass(frozen=True)
class Recording:
    """Requests in the order in which they came."""

    offsets_ns: tuple[int, ...]
    """When each came, counted from the first."""
    lengths: tuple[Lengths, ...] | None = None
    """One a request; None where the file has arrivals alone."""
    block_tokens: int = MOONCAKE_BLOCK
    unanswered: int = 0
    """Requests of the file that are left out, as they had no prompt or no answer (0 tokens)."""
    too_long: int = 0
    """Requests of the file that are left out, as they have more tokens than were asked for."""
    sorted: bool = False
    """The file's times fell somewhere: its requests were put in order."""

    @property
    def remarks(self) -> list[str]:
        """Say what of the file is not replayed as it stands there, a sentence each."""
        every = len(self.offsets_ns) + self.unanswered + self.too_long
        said = []
        if self.unanswered:
            said.append(
                f"{self.unanswered} of {every} requests are left out: no prompt, or no answer (0 tokens)"
            )
        if self.too_long:
            said.append(f"{self.too_long} of {every} requests are left out: more tokens than most_tokens")
        if self.sorted:
            said.append(
                "the times of the file fall somewhere: its requests were put in the order of their times"
            )
        if self.block_tokens != MOONCAKE_BLOCK:
            said.append(
                f"hash_ids are taken for blocks of {self.block_tokens} tokens: of larger ones some prompt has no room "
                "for as many as it names"
            )
        return said

    def beyond(self, limit: int) -> str | None:
        """Say of how many requests prompt and answer have no room in ``limit`` tokens; None where all have."""
        longer = [lengths for lengths in self.lengths or () if lengths.tokens > limit]
        if not longer:
            return None
        longest = max(longer, key=lambda lengths: lengths.tokens)
        return (
            f"{len(longer)} of {len(self.offsets_ns)} requests have no room in {limit} tokens, the longest with "
            f"a prompt of {longest.prompt_tokens} and an answer of {longest.output_tokens}"
        )


def recording_of(path: object, lines: Sequence[RequestLine], most_tokens: int | None) -> Recording:
    """Put lines in order, count from the first, and leave out what cannot be asked.

    Raises:
        UsageError: fewer than two instants are left, or a line names more blocks than its prompt has.
    """
    asked = [line for line in lines if line.lengths.prompt_tokens and line.lengths.output_tokens]
    kept = [line for line in asked if most_tokens is None or line.lengths.tokens <= most_tokens]
    ordered = sorted(kept, key=lambda line: line.offset_ns)
    if not ordered or ordered[0].offset_ns == ordered[-1].offset_ns:
        left_out = len(lines) - len(kept)
        beside = (
            f" ({left_out} of {len(lines)} are left out: 0 tokens, or above most_tokens)" if left_out else ""
        )
        raise UsageError(f"{path}: takes at least two requests at different times{beside}")
    first_ns = ordered[0].offset_ns
    return Recording(
        offsets_ns=tuple(line.offset_ns - first_ns for line in ordered),
        lengths=tuple(line.lengths for line in ordered),
        block_tokens=_block_tokens(path, ordered),
        unanswered=len(lines) - len(asked),
        too_long=len(asked) - len(kept),
        sorted=ordered != kept,
    )


def _block_tokens(path: object, lines: Sequence[RequestLine]) -> int:
    """Find the largest size of a block in which no prompt has more of them than it has room for."""
    named = [line for line in lines if line.lengths.block_ids]
    for size in _BLOCKS:
        if all(_fits(line.lengths, size) for line in named):
            return size
    wrong = next(line for line in named if not _fits(line.lengths, _BLOCKS[-1]))
    raise UsageError(
        f"{path}:{wrong.number}: hash_ids: names {len(wrong.lengths.block_ids)} blocks, and a prompt of "
        f"{wrong.lengths.prompt_tokens} tokens has not so many, even of {_BLOCKS[-1]} tokens each"
    )


def _fits(lengths: Lengths, block_tokens: int) -> bool:
    return len(lengths.block_ids) <= -(-lengths.prompt_tokens // block_tokens)


def tokens_of(text: str, where: tuple[object, int, str]) -> int:
    """Read the tokens of a prompt or an answer.

    Raises:
        UsageError: it is no whole number from 0 to ``MOST_TOKENS``; ``where`` are file, line and field.
    """
    if len(text) < _SHORT and text.isascii() and text.isdigit():  # nearly every one of a million
        return int(text)
    match = _WHOLE.fullmatch(text.strip())
    if match is None or int(match[1]) > MOST_TOKENS:
        file, line, field = where
        raise UsageError(
            f"{file}:{line}: {field}: takes a whole number of tokens, from 0 to {MOST_TOKENS} "
            f"(given: {text[:_LONGEST]!r})"
        )
    return int(match[1])
