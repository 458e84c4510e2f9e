"""An exchange becomes one row of ``requests.parquet``; nothing is lost, whatever went wrong."""

from __future__ import annotations

from typing import Any

from configs.prompt_formats import EndpointKind
from loadgen.answers.chunks import CHAT, COMPLETION, Api
from loadgen.answers.finish_reasons import gave_up
from loadgen.answers.sse import Decoded, decode_answer
from loadgen.answers.words import UnreadableBodyError, decompressed
from loadgen.clients.exchange import Exchange
from loadgen.planning.agenda import Item
from loadgen.planning.recorded import RecordedRequest

_APIS: dict[EndpointKind, Api] = {"completions": COMPLETION, "chat": CHAT}


def row_of(
    request_id: int, item: Item, scheduled_ns: int, exchange: Exchange, endpoint: EndpointKind = "completions"
) -> dict[str, Any]:
    """Return one request's columns of ``traces.schemas.REQUESTS``.

    ``end_ns`` of a good answer is when its last text, token or finish reason came, as in ``vllm bench serve``: what
    its connection takes to end after that is no generation. Of any other it is when it was known to have failed.
    """
    decoded = _decoded(exchange, _APIS[endpoint])
    lengths = item.task.lengths if isinstance(item.task, RecordedRequest) else None
    status, error, end_ns = exchange.status, exchange.error, exchange.end_ns
    if status == "ok":
        error = _what_is_wrong(decoded)
        status = "malformed" if error else "ok"
    elif decoded.server_said and error:  # it said why before it fell silent, or went
        error = f"{error}; before, {decoded.server_said}"
    if status == "ok":
        end_ns = decoded.generated_ns or end_ns
    return {
        "request_id": request_id,
        "task_id": item.task.task_id,
        "sample": item.sample,
        "role": item.role,
        "worker": 0,
        "scheduled_ns": scheduled_ns,
        "sent_ns": exchange.sent_ns or None,
        "first_token_ns": decoded.chunk_ns[0] if decoded.chunk_ns else None,
        "end_ns": end_ns or None,
        "chunk_ns": decoded.chunk_ns,
        "chunk_tokens": decoded.chunk_tokens,
        "prompt_tokens": decoded.prompt_tokens,
        "cached_tokens": decoded.cached_tokens,
        "output_tokens": decoded.output_tokens,
        "finish_reason": decoded.finish_reason,
        "status": status,
        "http_status": exchange.http_status,
        "error": error,
        "completion": decoded.completion,
        "chunk_chars": decoded.chunk_chars,
        "reasoning": decoded.reasoning or None,
        "reasoning_tokens": decoded.reasoning_tokens,
        "asked_prompt_tokens": None if lengths is None else lengths.prompt_tokens,
        "asked_output_tokens": None if lengths is None else lengths.output_tokens,
    }


def _decoded(exchange: Exchange, api: Api) -> Decoded:
    try:
        pieces = decompressed(exchange.pieces, exchange.headers.get("content-encoding"))
    except UnreadableBodyError as error:
        return Decoded(problem=str(error))
    return decode_answer(exchange.pieces_ns, pieces, exchange.headers.get("content-type"), api)


def _what_is_wrong(decoded: Decoded) -> str | None:
    """Say why a whole answer with HTTP 200 is still no good one. [DONE] says nothing that its end does not."""
    if decoded.problem:
        return decoded.problem
    if decoded.finish_reason is None:
        said = f"; the server said: {decoded.aside}" if decoded.aside else ""
        return f"the stream ended without a finish_reason{said}"
    if gave_up(decoded.finish_reason):
        return f"the engine gave up: finish_reason {decoded.finish_reason}"
    return None
