"""One event of a completion: strict in text and finish reason, which are needed, and liberal in all that is not."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import msgspec

from loadgen.answers.event_stream import ERROR, STRAY, StreamEvent

MOST_TOKENS = 2**31 - 1  # what the columns of the trace hold
_LONGEST_ERROR = 300
_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udbff\udc00-\udc7f\udd00-\udfff]")  # the others stand for bytes: see _loaded


class Choice(msgspec.Struct, gc=False):
    """Hold what one event adds to one answer."""

    text: str = ""
    finish_reason: str | None = None
    index: int = 0


class Details(msgspec.Struct, gc=False):
    """Hold what a server counts of the prompt's tokens."""

    cached_tokens: _Count | None = None


class Usage(msgspec.Struct, gc=False):
    """The server's own counts."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: Details | None = None


class Chunk(msgspec.Struct, gc=False):
    """One event, as most servers send it: what decodes to this without an error needs no second look."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


STRICT = msgspec.json.Decoder(Chunk)


class NotACompletionError(Exception):
    """An event holds an error of the server's, or something in place of a completion; the message says what."""


def read_event(event: StreamEvent) -> Chunk | None:
    """Decode what an event adds; None where it is no completion and takes nothing from one, as a proxy's heartbeat.

    Raises:
        NotACompletionError: it is an error, or a completion that cannot be understood.
    """
    if not event.name and is_of_a_completion(event.data):
        try:
            chunk = STRICT.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if is_plain(chunk):
                return chunk
    return _read_liberally(event)


def is_of_a_completion(data: bytes) -> bool:
    """Say whether no choice can be that of a chat: within a string of JSON these quotes would be escaped."""
    return b'"delta":' not in data and b'"message":' not in data


def is_plain(chunk: Chunk) -> bool:
    """Say whether an event that decoded strictly holds nothing that this leaves out."""
    return chunk.error is None and (bool(chunk.choices) or chunk.usage is not None)


def _read_liberally(event: StreamEvent) -> Chunk | None:
    try:
        value = _loaded(event.data)
    except (ValueError, RecursionError) as error:
        if event.name == ERROR:
            raise _error_of(event.data.decode(errors="replace")) from None
        if event.name == STRAY or not event.data.startswith((b"{", b"[")):
            return None
        raise NotACompletionError(f"an event is not the JSON of a completion: {error}") from None
    if not isinstance(value, dict):
        if event.name == ERROR:
            raise _error_of(value)
        return None
    if (error_said := error_in(value, named=event.name == ERROR)) is not None:
        raise _error_of(error_said)
    if event.name == STRAY:
        return None
    return _chunk(value)


def error_in(value: dict[str, Any], *, named: bool = False) -> object:
    """The error that an object says, None where it says none; ``named``: its event is called an error."""
    said = value.get("error")
    if any(said.values()) if isinstance(said, dict) else said:
        return said
    if named or value.get("object") == "error":  # vLLM before 0.11
        return value
    return None


def whole_text(texts: list[str]) -> str:
    """The text that came in these parts: halves of characters are put together, and what stays a half is replaced."""
    text = "".join(texts)
    if text.isascii():
        return text
    text = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _HALF.sub("\ufffd", text).encode(errors="surrogateescape").decode(errors="replace")


def _error_of(said: object) -> NotACompletionError:
    words = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    clean = words.encode(errors="replace").decode()
    return NotACompletionError(f"the server sent an error: {clean[:_LONGEST_ERROR]}")


def _loaded(data: bytes) -> Any:
    """JSON, also with halves of characters, as bytes or as escapes: the other half may come with the next event."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(data.decode(errors="surrogateescape"))


def _chunk(value: dict[str, Any]) -> Chunk | None:
    choices, usage = value.get("choices"), value.get("usage")
    if choices is None and usage is None:
        return None
    if not isinstance(choices or [], list):
        raise NotACompletionError("an event is not the JSON of a completion: its choices are no list")
    return Chunk([_choice(choice) for choice in choices or []], _usage(usage))


def _choice(value: Any) -> Choice:
    if not isinstance(value, dict):
        raise NotACompletionError("an event is not the JSON of a completion: a choice is no object")
    if "text" not in value and ("delta" in value or "message" in value):
        raise NotACompletionError(
            "the server sent the chunks of a chat (choices[].delta) where a completion (choices[].text) was asked for"
        )
    text = value.get("text")
    if not isinstance(text, str | None):
        raise NotACompletionError("an event is not the JSON of a completion: its text is no string")
    index = value.get("index")
    return Choice(text or "", _finish_reason(value.get("finish_reason")), index if type(index) is int else 0)


def _finish_reason(value: Any) -> str | None:
    """SGLang's own is an object with a type."""
    said = value.get("type") if isinstance(value, dict) else value
    return None if not said else said if isinstance(said, str) else str(said)


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    return Usage(
        _count(value.get("prompt_tokens")),
        _count(value.get("completion_tokens")),
        Details(_count(details.get("cached_tokens"))) if isinstance(details, dict) else None,
    )


def _count(value: Any) -> int | None:
    """A number of tokens, also where it is written as 8.0; None for what can be none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value) if 0 <= value <= MOST_TOKENS else None
