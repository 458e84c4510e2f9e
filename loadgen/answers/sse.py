"""Decode the stream of an answer once its request has ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, sub

import msgspec

from loadgen.answers.chunks import (
    COMPLETION,
    AnyChoice,
    AnyChunk,
    Api,
    NotACompletionError,
    ServerSaidError,
    Usage,
    error_in,
    is_plain,
    read_event,
    whole_text,
)
from loadgen.answers.event_stream import DONE, ERROR, STRAY, StreamEvent, cut_events
from loadgen.answers.finish_reasons import is_said
from loadgen.answers.token_counts import Counts
from loadgen.answers.words import beginning

_LAST = b"data: [DONE]\n\n"
_INDEX, _ERROR = attrgetter("index"), attrgetter("error")


@dataclass
class Decoded:
    """Hold what one answer's events say; ``chunk_tokens`` is None where the server does not count as it streams."""

    completion: str = ""
    reasoning: str = ""
    """What the model wrote before its answer, where the server sends that apart."""
    chunk_ns: list[int] = field(default_factory=list)
    chunk_tokens: list[int] | None = None
    chunk_chars: list[int] | None = None
    """Characters of ``completion`` that came with each chunk; None where halves of characters came apart."""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    """Of ``output_tokens``, those of ``reasoning``; None where the server does not say, by its count or its chunks'."""
    finish_reason: str | None = None
    generated_ns: int | None = None
    """When the last event came that brought text, tokens or the finish reason: after it nothing is generated."""
    problem: str | None = None
    server_said: str | None = None
    """``problem``, where it is an error of the server's in its own words."""
    aside: str | None = None
    """The first words that belong to no completion: they matter where it is not whole."""


def decode_answer(
    pieces_ns: list[int], pieces: list[bytes], content_type: str | None = None, api: Api = COMPLETION
) -> Decoded:
    """Decode an answer whose body came in these pieces at these times."""
    at_once = _each_an_event(pieces, api)
    if at_once is not None:
        decoded = _joined_as_usual(pieces_ns, at_once) if api is COMPLETION else None
        if decoded is None and all(map(is_plain, at_once)):
            decoded = _joined(zip(pieces_ns, at_once, strict=False), Decoded())
        if decoded is not None:
            return decoded
    events = cut_events(pieces_ns, pieces)
    if events and all(event.name == STRAY for event in events):
        return _no_stream(events, b"".join(pieces), content_type, api)
    return decode_events(events, api)


def decode_events(events: Sequence[StreamEvent], api: Api = COMPLETION) -> Decoded:
    """Decode an answer of events."""
    decoded = Decoded()
    return _joined(_read(events, api, decoded), decoded)


def _each_an_event(pieces: list[bytes], api: Api) -> list[AnyChunk] | None:
    """Read all events but [DONE] at once, where each piece is one of them and all is well, as most servers send them.

    Between two braces a newline stands between two documents, never within one; so lines and documents are the same.
    """
    if len(pieces) < 2 or pieces[-1] != _LAST:
        return None
    count = len(pieces) - 1
    joined = b"\r".join(pieces[:-1])  # a mark that no piece may hold, where one ends and the next begins
    if (
        not joined.startswith(b"data: {")
        or not joined.endswith(b"}\n\n")
        or joined.count(b"}\n\n\rdata: {") != count - 1
        or joined.count(b"\n") != 2 * count
        or joined.count(b"\r") != count - 1
    ):
        return None
    try:
        events: list[AnyChunk] = api.strict.decode_lines(joined[6:-2].replace(b"\n\n\rdata: ", b"\n"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if len(events) != count:
        return None
    textless = [at for at, event in enumerate(events) if event.choices and not event.choices[0].text]
    return events if all(api.is_of_it(events[at], pieces[at]) for at in textless) else None


def _joined_as_usual(times_ns: list[int], events: list[AnyChunk]) -> Decoded | None:
    """Do what ``_joined`` does without a loop: each event brings tokens and says how many, the last only counts."""
    *chunks, last = events
    if last.choices or last.usage is None or any(map(_ERROR, events)):
        return None
    choices = [event.choices[0] for event in chunks if len(event.choices) == 1]
    if any(map(_ERROR, choices)):
        return None
    totals = [event.usage.completion_tokens or 0 for event in chunks if event.usage]
    growth = list(map(sub, totals, [0, *totals]))
    each_counts = len(choices) == len(totals) == len(chunks) > 0 and min(growth) > 0
    if not each_counts or last.usage.completion_tokens != totals[-1] or any(map(_INDEX, choices)):
        return None
    chunk_ns, texts = times_ns[: len(chunks)], [choice.text for choice in choices]
    decoded = Decoded(
        "".join(texts), chunk_ns=chunk_ns, chunk_tokens=growth, chunk_chars=list(map(len, texts)),
        output_tokens=totals[-1], finish_reason=_last_reason(choices), generated_ns=chunk_ns[-1],
    )  # fmt: skip
    _take_usage(decoded, chunks[-1].usage)
    _take_usage(decoded, last.usage)
    return decoded


def _read(events: Sequence[StreamEvent], api: Api, decoded: Decoded) -> Iterator[tuple[int, AnyChunk]]:
    """Read events one by one, up to the first that is none; ``decoded`` is told what is wrong.

    Behind [DONE] an answer is whole, whatever else is said.
    """
    done = False
    for event in events:
        if event.data == DONE:
            done = True
            continue
        try:
            chunk = read_event(event, api)
        except NotACompletionError as error:
            if not done:
                decoded.problem, decoded.server_said = str(error), _said_in(error)
            decoded.aside = decoded.aside or str(error)
            return
        if chunk is not None:
            yield event.t_ns, chunk
        else:
            decoded.aside = decoded.aside or beginning(event.data)


class _Tally:
    """The chunks of one answer: events that bring text, thoughts, or tokens."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.apart: list[str] = []
        self._brings: list[bool] = []
        self._counts: list[int | None] = []
        self._after: int | None = None
        self._highest, self._counts_grow = 0, True

    def take(self, choices: Sequence[AnyChoice], count: int | None) -> bool:
        """Say whether an event with these choices of this answer and this count of tokens is a chunk."""
        text = "".join([choice.text for choice in choices])
        thought = "".join([choice.apart for choice in choices])
        brings = bool(text or thought) or any(choice.calls for choice in choices)
        is_chunk = brings or (bool(choices) and self._counts_grow and (count or 0) > self._highest)
        if is_chunk:
            self.texts.append(text)
            self.apart.append(thought)
            self._brings.append(brings)
            self._counts.append(count)
            self._counts_grow = self._counts_grow and count is not None
            self._after = None
        elif count is not None:
            self._after = count
        self._highest = max(self._highest, count or 0)
        return is_chunk

    def tokens(self) -> tuple[int | None, list[int] | None]:
        """Return tokens of the answer and of each of its chunks."""
        return Counts(self._counts, self._brings, self._after).read()


def _joined(events: Iterable[tuple[int, AnyChunk]], decoded: Decoded) -> Decoded:
    timed = list(events)
    ours = _our_index([choice for _, event in timed for choice in event.choices])
    tally = _Tally()
    for t_ns, event in timed:
        _take_usage(decoded, event.usage)
        choices = (
            event.choices if ours is None else [choice for choice in event.choices if choice.index == ours]
        )
        count = None if event.usage is None else event.usage.completion_tokens
        is_chunk, reason = tally.take(choices, count), _last_reason(choices)
        if is_chunk:
            decoded.chunk_ns.append(t_ns)
        if is_chunk or reason:
            decoded.generated_ns = t_ns
        decoded.finish_reason = reason or decoded.finish_reason
    decoded.output_tokens, decoded.chunk_tokens = tally.tokens()
    _take_texts(decoded, tally.texts, tally.apart)
    return decoded


def _take_texts(decoded: Decoded, texts: list[str], apart: list[str]) -> None:
    """The answer, what was written before it, and how much of either came with each chunk."""
    decoded.completion, decoded.reasoning = whole_text(texts), whole_text(apart)
    chars = list(map(len, texts))
    decoded.chunk_chars = chars if sum(chars) == len(decoded.completion) else None
    if decoded.reasoning_tokens is None and decoded.reasoning and decoded.chunk_tokens is not None:
        alone = [thought and not text for text, thought in zip(texts, apart, strict=True)]
        tokens = zip(decoded.chunk_tokens, alone, strict=True)
        decoded.reasoning_tokens = sum(count for count, is_thought in tokens if is_thought)


def _last_reason(choices: Sequence[AnyChoice]) -> str | None:
    return next((choice.finish_reason for choice in reversed(choices) if is_said(choice.finish_reason)), None)


def _our_index(choices: list[AnyChoice]) -> int | None:
    """Return the index of the answer that counts where there are several; None where all belong to it.

    Several answers end each with a finish reason of its own. A server that counts the index up with each token has
    one.
    """
    there = {choice.index for choice in choices}
    ended = {choice.index for choice in choices if is_said(choice.finish_reason)}
    return min(there) if len(there) > 1 and there == ended else None


def _take_usage(decoded: Decoded, usage: Usage | None) -> None:
    if usage is None:
        return
    if usage.prompt_tokens is not None:
        decoded.prompt_tokens = usage.prompt_tokens
    if usage.prompt_tokens_details is not None and usage.prompt_tokens_details.cached_tokens is not None:
        decoded.cached_tokens = usage.prompt_tokens_details.cached_tokens
    details = usage.completion_tokens_details
    if details is not None and details.reasoning_tokens is not None:
        decoded.reasoning_tokens = details.reasoning_tokens


def _no_stream(events: Sequence[StreamEvent], body: bytes, content_type: str | None, api: Api) -> Decoded:
    """Say why a body without any event of a stream is none, in the server's words where it says an error."""
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        whole = None
    if isinstance(whole, dict) and (said := error_in(whole)) is not None:
        events = [StreamEvent(0, msgspec.json.encode(said), ERROR)]
    for event in events:
        try:
            read_event(event, api)
        except NotACompletionError as error:
            return Decoded(problem=str(error), server_said=_said_in(error))
    kind = content_type or "a body of no stated type"
    return Decoded(problem=f"the answer is no stream of events, but {kind}: {beginning(body)}")


def _said_in(error: NotACompletionError) -> str | None:
    return str(error) if isinstance(error, ServerSaidError) else None
