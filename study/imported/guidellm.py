"""Read GuideLLM's JSON report: each of its benchmarks is a load. Its times are seconds since 1970.

Since 0.4 a request's times stand under ``info.timings``, before that beside its tokens. It says when the first and the
last token came, and not the ones between.
"""

from __future__ import annotations

from typing import Any

from configs.loads import Load
from starwatt_errors import UsageError
from study.imported.requests import ImportedLoad, Request, at_a_rate, closed, nanoseconds
from study.imported.shapes import Moment, Tokens, ToolShape, shaped

TOOL = "GuideLLM"


class _Timings(ToolShape):
    targeted_start: Moment | None = None
    request_start: Moment | None = None
    first_token_iteration: Moment | None = None
    last_token_iteration: Moment | None = None
    token_iterations: Tokens | None = None
    request_end: Moment | None = None


class _Info(ToolShape):
    timings: _Timings = _Timings()
    error: str | None = None


class _Request(ToolShape):
    info: _Info | None = None
    prompt_tokens: Tokens | None = None
    cached_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    output: str | None = None
    # up to 0.3:
    error: str | None = None
    start_time: Moment | None = None
    end_time: Moment | None = None
    first_token_time: Moment | None = None
    last_token_time: Moment | None = None

    @property
    def timings(self) -> _Timings:
        if self.info is not None:
            return self.info.timings
        return _Timings(
            request_start=self.start_time,
            first_token_iteration=self.first_token_time,
            last_token_iteration=self.last_token_time,
            request_end=self.end_time,
        )


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


class _Backend(ToolShape):
    model: str | None = None


class _Config(ToolShape):
    strategy: _Strategy = _Strategy()
    backend: _Backend = _Backend()


class _Totals(ToolShape):
    total: Tokens = 0


class _Metrics(ToolShape):
    request_totals: _Totals = _Totals()


class _Benchmark(ToolShape):
    config: _Config | None = None
    args: _Config = _Config()  # up to 0.3
    requests: _Requests = _Requests()
    metrics: _Metrics = _Metrics()


class _Metadata(ToolShape):
    guidellm_version: str | None = None


class _Report(ToolShape):
    metadata: _Metadata | None = None
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
    version = report.metadata.guidellm_version if report.metadata else None
    if not report.benchmarks:
        raise UsageError(f"{where}: has no benchmark: GuideLLM ended before its first one had")
    return [
        _imported(benchmark, version, f"{where}, benchmark {number}")
        for number, benchmark in enumerate(report.benchmarks, 1)
    ]


def _imported(benchmark: _Benchmark, version: str | None, where: str) -> ImportedLoad:
    kept, config = benchmark.requests, benchmark.config or benchmark.args
    has_schedule = config.strategy.has_schedule
    requests = [_request(request, "ok", "measured", has_schedule) for request in kept.successful or ()]
    requests += [_request(request, "failed", "measured", has_schedule) for request in kept.errored or ()]
    requests += [_request(request, "aborted", "filler", False) for request in kept.incomplete or ()]
    total = benchmark.metrics.request_totals.total
    if total > len(requests):
        raise UsageError(
            f"{where}: keeps {len(requests)} of its {total} requests: joules are shared by all of them, so run "
            "GuideLLM without a sample size"
        )
    return ImportedLoad(
        TOOL, version, tuple(requests), model=config.backend.model, load=_load(config.strategy)
    )


def _request(told: _Request, status: str, role: str, has_schedule: bool) -> Request:
    times, good = told.timings, status == "ok"
    tokens = told.output_tokens if told.output_tokens is not None else times.token_iterations
    end_s = times.last_token_iteration if good else None
    return Request(
        status,
        role=role,
        due_ns=nanoseconds(times.targeted_start) if has_schedule else None,
        sent_ns=nanoseconds(times.request_start),
        first_token_ns=nanoseconds(times.first_token_iteration),
        end_ns=nanoseconds(times.request_end if end_s is None else end_s),
        prompt_tokens=told.prompt_tokens,
        cached_tokens=told.cached_tokens,
        output_tokens=tokens,
        error=None
        if good
        else (told.info.error if told.info else told.error) or f"GuideLLM calls it {status}",
        completion=told.output if good else None,
    )


def _load(strategy: _Strategy) -> Load | None:
    if strategy.type_ == "synchronous":
        return closed(1)
    if strategy.type_ == "concurrent":
        return closed(strategy.streams)
    if strategy.rate is None:
        return None
    if strategy.type_ == "constant":
        return at_a_rate(strategy.rate, "constant", strategy.max_concurrency)
    return (
        at_a_rate(strategy.rate, "poisson", strategy.max_concurrency) if strategy.type_ == "poisson" else None
    )
