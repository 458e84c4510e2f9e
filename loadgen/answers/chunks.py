"""One event of an answer: strict in text and finish reason, which are needed, and liberal in all that is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from loadgen.answers.event_stream import ERROR, STRAY, StreamEvent

MOST_TOKENS = 2**31 - 1  # what the columns of the trace hold
_LONGEST_ERROR = 300
_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
_WORD = re.compile(rb"\[[A-Za-z_ ]*\]")  # [done], as some write it
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udbff\udc00-\udc7f\udd00-\udfff]")  # the others stand for bytes: see _loaded


class Choice(msgspec.Struct, gc=False):
    """Hold what one event adds to one answer."""

    text: str = ""
    finish_reason: str | None = None
    index: int = 0
    error: Any = None
    usage: Any = None

    @property
    def apart(self) -> str:
        """Return what the model wrote before its answer: a completion has none."""
        return ""

    @property
    def calls(self) -> bool:
        """Say whether it brings a part of a call of a tool: a completion has none."""
        return False


class Delta(msgspec.Struct, gc=False):
    """The part of a chat's answer that one event adds. Servers have three names for what a model thinks aloud."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    tool_calls: Any = None
    function_call: Any = None


class ChatChoice(msgspec.Struct, gc=False):
    """The same as ``Choice``, of a chat."""

    delta: Delta | None = None
    finish_reason: str | None = None
    index: int = 0
    error: Any = None
    usage: Any = None

    @property
    def text(self) -> str:
        """Return what belongs to the answer itself, a refusal too."""
        return "" if self.delta is None else (self.delta.content or "") + (self.delta.refusal or "")

    @property
    def apart(self) -> str:
        """Return what the model wrote before its answer; a server may send it under two names at once."""
        delta = self.delta
        return "" if delta is None else delta.reasoning_content or delta.reasoning or delta.thinking or ""

    @property
    def calls(self) -> bool:
        """Say whether it brings a part of a call of a tool: tokens that are no text."""
        return self.delta is not None and bool(self.delta.tool_calls or self.delta.function_call)


class Details(msgspec.Struct, gc=False):
    """Hold what a server counts of the prompt's tokens."""

    cached_tokens: _Count | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """Hold what a server counts of the answer's tokens."""

    reasoning_tokens: _Count | None = None


class Usage(msgspec.Struct, gc=False):
    """The server's own counts."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: OutputDetails | None = None


class Chunk(msgspec.Struct, gc=False):
    """One event, as most servers send it: what decodes to this without an error needs no second look."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None
    x_groq: Any = None


class ChatChunk(msgspec.Struct, gc=False):
    """The same of a chat."""

    choices: list[ChatChoice] = []
    usage: Usage | None = None
    error: Any = None
    x_groq: Any = None


AnyChoice = Choice | ChatChoice
AnyChunk = Chunk | ChatChunk


@dataclass(frozen=True)
class Api:
    """The rules by which the events of one API are read."""

    strict: msgspec.json.Decoder[Any]
    choice: Callable[[dict[str, Any]], AnyChoice]
    """Reads a choice liberally; raises NotACompletionError."""
    chunk: Callable[..., AnyChunk]
    is_of_it: Callable[[AnyChunk, bytes], bool]
    """Say of an event that decoded strictly whether it is one of this API."""


class NotACompletionError(Exception):
    """An event holds something in place of a completion; the message says what."""


class ServerSaidError(NotACompletionError):
    """An event holds an error of the server's, in its words."""


def read_event(event: StreamEvent, api: Api | None = None) -> AnyChunk | None:
    """Decode what an event adds; None where it is no completion and takes nothing from one, as a proxy's heartbeat.

    Raises:
        ServerSaidError: it is an error.
        NotACompletionError: it is a completion that cannot be understood.
    """
    api = api or COMPLETION
    if not event.name:
        try:
            chunk: AnyChunk = api.strict.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if is_plain(chunk) and api.is_of_it(chunk, event.data):
                return chunk
    return _read_liberally(event, api)


def is_of_a_completion(data: bytes) -> bool:
    """Say whether no choice can be that of a chat: within a string of JSON these quotes would be escaped."""
    return b'"delta":' not in data and b'"message":' not in data


def is_plain(chunk: AnyChunk) -> bool:
    """Say whether an event that decoded strictly holds nothing that this leaves out."""
    if any(choice.error is not None or choice.usage is not None for choice in chunk.choices):
        return False
    return chunk.error is None and chunk.x_groq is None and (bool(chunk.choices) or chunk.usage is not None)


def _read_liberally(event: StreamEvent, api: Api) -> AnyChunk | None:
    try:
        value = _loaded(event.data)
    except (ValueError, RecursionError) as error:
        if event.name == ERROR:
            raise _error_of(event.data.decode(errors="replace")) from None
        if event.name == STRAY or not event.data.startswith((b"{", b"[")) or _WORD.fullmatch(event.data):
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
    return _chunk(value, api)


def error_in(value: dict[str, Any], *, named: bool = False) -> object:
    """Return the error that an object says, None where it says none; ``named``: its event is called an error."""
    said = value.get("error")
    if any(said.values()) if isinstance(said, dict) else said:
        return said
    if named or value.get("object") == "error":  # vLLM before 0.11
        return value
    return None


def whole_text(texts: list[str]) -> str:
    """Join the text of these parts: halves of characters are put together, and what stays a half is replaced."""
    text = "".join(texts)
    if text.isascii():
        return text
    text = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _HALF.sub("\ufffd", text).encode(errors="surrogateescape").decode(errors="replace")


def _error_of(said: object) -> ServerSaidError:
    words = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    clean = words.encode(errors="replace").decode()
    return ServerSaidError(f"the server sent an error: {clean[:_LONGEST_ERROR]}")


def _loaded(data: bytes) -> Any:
    """JSON, also with halves of characters, as bytes or as escapes: the other half may come with the next event.

    Control characters that stand in its strings as they are, and numbers that are none, are taken too.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(data.decode(errors="surrogateescape"), strict=False)


def _chunk(value: dict[str, Any], api: Api) -> AnyChunk | None:
    choices, usage = value.get("choices"), _usage_in(value)
    if choices is None and value.get("usage") is None and usage is None:
        return None
    if not isinstance(choices or [], list):
        raise NotACompletionError("an event is not the JSON of a completion: its choices are no list")
    if not all(isinstance(choice, dict) for choice in choices or []):
        raise NotACompletionError("an event is not the JSON of a completion: a choice is no object")
    for choice in choices or []:
        if (said := error_in(choice)) is not None:
            raise _error_of(said)
    return api.chunk([api.choice(choice) for choice in choices or []], usage)


def _choice(value: dict[str, Any]) -> Choice:
    if "text" not in value and ("delta" in value or "message" in value):
        raise NotACompletionError(
            "the server sent the chunks of a chat (choices[].delta) where a completion (choices[].text) was asked for"
        )
    text = value.get("text")
    if not isinstance(text, str | None):
        raise NotACompletionError("an event is not the JSON of a completion: its text is no string")
    return Choice(text or "", *_end_and_index(value))


def _chat_choice(value: dict[str, Any]) -> ChatChoice:
    delta = value.get("delta", value.get("message"))
    if delta is None and isinstance(value.get("text"), str):
        raise NotACompletionError(
            "the server sent the chunks of a completion (choices[].text) where a chat (choices[].delta) was asked for"
        )
    if not isinstance(delta, dict | None):
        raise NotACompletionError("an event is not the JSON of a chat: its delta is no object")
    return ChatChoice(_delta(delta or {}), *_end_and_index(value))


def _delta(value: dict[str, Any]) -> Delta:
    content, thought = _parts(value.get("content"))
    names = ("refusal", "reasoning_content", "reasoning", "thinking")
    texts = {name: value[name] for name in names if isinstance(value.get(name), str)}
    calls = {name: value.get(name) for name in ("tool_calls", "function_call")}
    return Delta(**{"thinking": thought, **texts, "content": content}, **calls)


def _parts(content: Any) -> tuple[str | None, str | None]:
    """Text and thoughts; Mistral's servers send a list of parts, each with a type."""
    if isinstance(content, str | None):
        return content, None
    if not isinstance(content, list):
        raise NotACompletionError("an event is not the JSON of a chat: its content is no text")
    texts: dict[bool, list[str]] = {False: [], True: []}
    for part in content:
        if isinstance(part, dict):
            thought = part.get("thinking")
            inner = "".join(filter(None, _parts(thought))) if isinstance(thought, str | list) else None
            said = part.get("text") if inner is None else inner
            texts[inner is not None].append(said if isinstance(said, str) else "")
    return "".join(texts[False]), "".join(texts[True]) or None


def _end_and_index(value: dict[str, Any]) -> tuple[str | None, int]:
    index = value.get("index")
    return _finish_reason(value.get("finish_reason")), index if type(index) is int else 0


def _finish_reason(value: Any) -> str | None:
    """SGLang's own is an object with a type."""
    said = value.get("type") if isinstance(value, dict) else value
    return None if not said else said if isinstance(said, str) else str(said)


def _usage_in(value: dict[str, Any]) -> Usage | None:
    """Read the counts of an event: beside its choices, else in the last that has them (Moonshot) or Groq's own."""
    beside, choices = _usage(value.get("usage")), value.get("choices")
    places = [value, *reversed(choices if isinstance(choices, list) else []), value.get("x_groq")]
    found = (_usage(place.get("usage")) for place in places if isinstance(place, dict))
    return next(
        (usage for usage in found if usage is not None and usage.completion_tokens is not None), beside
    )


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    details, of_output = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    return Usage(
        _count(value.get("prompt_tokens")),
        _count(value.get("completion_tokens")),
        Details(_count(details.get("cached_tokens"))) if isinstance(details, dict) else None,
        OutputDetails(_count(of_output.get("reasoning_tokens"))) if isinstance(of_output, dict) else None,
    )


def _count(value: Any) -> int | None:
    """Read a number of tokens, also where it is written as 8.0; None for what can be none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value) if 0 <= value <= MOST_TOKENS else None


def _is_of_a_chat(chunk: AnyChunk, _: bytes) -> bool:
    return all(isinstance(choice, ChatChoice) and choice.delta is not None for choice in chunk.choices)


COMPLETION = Api(msgspec.json.Decoder(Chunk), _choice, Chunk, lambda _, data: is_of_a_completion(data))
CHAT = Api(msgspec.json.Decoder(ChatChunk), _chat_choice, ChatChunk, _is_of_a_chat)
