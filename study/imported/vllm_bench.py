"""Read what ``vllm bench serve --save-result --save-detailed`` writes: one object, or one a line (--append-result).

Its times are of the client's ``time.perf_counter`` (on Linux CLOCK_MONOTONIC: since the machine was started), and its
``date`` is the local time at which it wrote the file, to the second. It does not say when requests were due.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from configs.loads import Load
from starwatt_errors import UsageError
from study.imported.requests import ImportedLoad, Request, at_a_rate, closed
from study.imported.shapes import Moment, Span, Tokens, ToolShape, shaped

TOOL = "vllm bench serve"
_DETAILS = ("start_times", "ttfts", "itls", "input_lens", "output_lens")


class _Result(ToolShape):
    date: str | None = None
    model_id: str | None = None
    request_rate: float | str | None = None
    burstiness: float | None = None
    max_concurrency: int | None = None
    ramp_up_strategy: str | None = None
    start_times: list[Moment] | None = None
    ttfts: list[Span] | None = None
    itls: list[list[Span]] | None = None
    latencies: list[Span] | None = None
    input_lens: list[Tokens] | None = None
    output_lens: list[Tokens] | None = None
    generated_texts: list[str] | None = None
    errors: list[str | None] | None = None


def is_vllm_bench(data: Any) -> bool:
    """Say whether this object is a result of it."""
    return isinstance(data, dict) and "model_id" in data and "num_prompts" in data


def vllm_load(data: Any, where: str) -> ImportedLoad:
    """Return the load of one result.

    Raises:
        UsageError: it holds sums alone, or lists of different lengths.
    """
    result = shaped(_Result, data, where)
    lists = {name: getattr(result, name) for name in (*_DETAILS, "latencies", "generated_texts", "errors")}
    missing = [name for name in _DETAILS if lists[name] is None]
    if missing == ["start_times"]:
        raise UsageError(
            f"{where}: has no start_times: that vLLM did not save when it sent requests, so that they cannot be set "
            "beside power. A newer `vllm bench serve` saves them"
        )
    if missing:
        raise UsageError(
            f"{where}: has no {', '.join(missing)}: it holds sums alone. Run vllm bench serve with --save-result "
            "--save-detailed"
        )
    lengths = {name: len(values) for name, values in lists.items() if values is not None}
    if len(set(lengths.values())) != 1:
        raise UsageError(
            f"{where}: its lists are of different lengths ({lengths}): it was changed after it was written"
        )
    requests = tuple(_request(result, number) for number in range(lengths["start_times"]))
    return ImportedLoad(
        TOOL,
        None,
        requests,
        clock="monotonic",
        written_at=result.date,
        model=result.model_id,
        load=_load(result),
    )


def _request(result: _Result, number: int) -> Request:
    starts, ttfts, itls, prompts, outputs = (getattr(result, name) for name in _DETAILS)
    sent_s, first_s = starts[number], ttfts[number]
    error = (result.errors[number] if result.errors else None) or None
    if error is not None or first_s <= 0:  # it leaves its times at 0 then
        words = error or "no token came"
        return Request("failed", sent_ns=round(sent_s * 1e9), prompt_tokens=prompts[number], error=words)
    chunks = tuple(round((sent_s + after_s) * 1e9) for after_s in accumulate(itls[number], initial=first_s))
    return Request(
        "ok",
        sent_ns=round(sent_s * 1e9),
        first_token_ns=chunks[0],
        end_ns=chunks[-1],
        chunk_ns=chunks,
        prompt_tokens=prompts[number],
        output_tokens=outputs[number],
        completion=result.generated_texts[number] if result.generated_texts else None,
    )


def _load(result: _Result) -> Load | None:
    """Return the load; None where we have no word for it: all requests at once, a ramp, gamma arrivals."""
    rate = result.request_rate
    if result.ramp_up_strategy is not None:
        return None
    if rate in (None, "inf"):
        return closed(result.max_concurrency)
    if not isinstance(rate, float) or result.burstiness not in (None, 1.0):
        return None
    return at_a_rate(rate, "poisson", result.max_concurrency)
