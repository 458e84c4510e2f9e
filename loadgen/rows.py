"""An exchange becomes one row of ``requests.parquet``; nothing is lost, whatever went wrong."""

from __future__ import annotations

from typing import Any

from loadgen.agenda import Item
from loadgen.exchange import Exchange
from loadgen.sse import Decoded, decode_answer


def row_of(
    request_id: int, item: Item, scheduled_ns: int, exchange: Exchange, *, done_wanted: bool = True
) -> dict[str, Any]:
    """The columns of ``traces.schemas.REQUESTS``; ``done_wanted``: a stream without ``[DONE]`` is not whole."""
    decoded = decode_answer(exchange.pieces_ns, exchange.pieces)
    status, error = exchange.status, exchange.error
    if status == "ok":
        error = _what_is_wrong(decoded, done_wanted=done_wanted)
        status = "malformed" if error else "ok"
    return {
        "request_id": request_id,
        "task_id": item.task.task_id,
        "sample": item.sample,
        "role": item.role,
        "worker": 0,
        "scheduled_ns": scheduled_ns,
        "sent_ns": exchange.sent_ns or None,
        "first_token_ns": decoded.chunk_ns[0] if decoded.chunk_ns else None,
        "end_ns": exchange.end_ns or None,
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
    }


def _what_is_wrong(decoded: Decoded, *, done_wanted: bool) -> str | None:
    """Why an answer that came with HTTP 200 is still not whole."""
    if decoded.problem:
        return decoded.problem
    if done_wanted and not decoded.done:
        return "the stream ended without [DONE]"
    if decoded.finish_reason is None:
        return "the stream ended without a finish_reason"
    return None
