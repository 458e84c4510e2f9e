"""Read GuideLLM's JSON report: each of its benchmarks is a load. Its times are seconds since 1970.

Since 0.4 a request's times stand under ``info.timings``, before that beside its tokens. It says when the first and the
last token came, and not the ones between.
"""

from __future__ import annotations

from typing import Any

from configs.loads import Load
from starwatt_errors import UsageError
from study.imported.requests import ImportedLoad, Request, at_a_rate, closed, nanoseconds
from study.imported.shapes import Moment, Tokens, ToolShape, at, shaped

TOOL = "GuideLLM"


class _Request(ToolShape):
    """A request; what has two places stands in the second one up to 0.3."""

    due: Moment | None = at("info.timings.targeted_start")
    start: Moment | None = at("info.timings.request_start", "start_time")
    first_token: Moment | None = at("info.timings.first_token_iteration", "first_token_time")
    last_token: Moment | None = at("info.timings.last_token_iteration", "last_token_time")
    end: Moment | None = at("info.timings.request_end", "end_time")
    token_iterations: Tokens | None = at("info.timings.token_iterations")
    error: str | None = at("info.error", "error")
    prompt_tokens: Tokens | None = None
    cached_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    output: str | None = None


class _Requests(ToolShape):
    successful: tuple[_Request, ...] | None = None
    errored: tuple[_Request, ...] | None = None
    incomplete: tuple[_Request, ...] | None = None


class _Strategy(ToolShape):
    type_: str | None = None
    streams: int | None = None
    rate: float | None = None
    max_concurrency: int | None = None

    @property
    def has_schedule(self) -> bool:
        """Say whether ``targeted_start`` is when a request was due; elsewhere it is "as soon as possible"."""
        return self.type_ in ("constant", "poisson", "trace") and self.max_concurrency is None


class _Benchmark(ToolShape):
    strategy: _Strategy = at("config.strategy", "args.strategy", default=_Strategy())
    model: str | None = at("config.backend.model", "args.backend.model")
    requests: _Requests = _Requests()
    total: Tokens = at("metrics.request_totals.total", default=0)


class _Report(ToolShape):
    version: str | None = at("metadata.guidellm_version")
    benchmarks: list[_Benchmark]


def is_guidellm(data: Any) -> bool:
    """Say whether this object is a report of it."""
    return isinstance(data, dict) and isinstance(data.get("benchmarks"), list)


def guidellm_loads(data: Any, where: str) -> list[ImportedLoad]:
    """Return the loads of a report, in the order in which they were driven.

    Raises:
        UsageError: it has none, or keeps a sample of its requests.
    """
    report = shaped(_Report, data, where)
    if not report.benchmarks:
        raise UsageError(f"{where}: has no benchmark: GuideLLM ended before its first one had")
    return [
        _imported(benchmark, report.version, f"{where}, benchmark {number}")
        for number, benchmark in enumerate(report.benchmarks, 1)
    ]


def _imported(benchmark: _Benchmark, version: str | None, where: str) -> ImportedLoad:
    kept, strategy = benchmark.requests, benchmark.strategy
    has_schedule = strategy.has_schedule
    requests = [_request(request, "ok", "measured", has_schedule) for request in kept.successful or ()]
    requests += [_request(request, "failed", "measured", has_schedule) for request in kept.errored or ()]
    requests += [_request(request, "aborted", "filler", False) for request in kept.incomplete or ()]
    if benchmark.total > len(requests):
        raise UsageError(
            f"{where}: keeps {len(requests)} of its {benchmark.total} requests: joules are shared by all of them, so "
            "run GuideLLM without a sample size"
        )
    return ImportedLoad(TOOL, version, tuple(requests), model=benchmark.model, load=_load(strategy))


def _request(told: _Request, status: str, role: str, has_schedule: bool) -> Request:
    good = status == "ok"
    tokens = told.output_tokens if told.output_tokens is not None else told.token_iterations
    end_s = told.last_token if good else None
    return Request(
        status,
        role=role,
        due_ns=nanoseconds(told.due) if has_schedule else None,
        sent_ns=nanoseconds(told.start),
        first_token_ns=nanoseconds(told.first_token),
        end_ns=nanoseconds(told.end if end_s is None else end_s),
        prompt_tokens=told.prompt_tokens,
        cached_tokens=told.cached_tokens,
        output_tokens=tokens,
        error=None if good else told.error or f"GuideLLM calls it {status}",
        completion=told.output if good else None,
    )


def _load(strategy: _Strategy) -> Load | None:
    if strategy.type_ == "synchronous":
        return closed(1)
    if strategy.type_ == "concurrent":
        return closed(strategy.streams)
    return at_a_rate(strategy.rate, strategy.type_, strategy.max_concurrency)
