"""Read aiperf's ``profile_export.jsonl``, a line a request; ``profile_export_aiperf.json`` beside it says the rest.

Its times are nanoseconds since 1970, and its metrics have their unit beside them. When a request was due it does not
say: ``credit_issued_ns`` is when its own scheduler got round to it.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from configs.loads import Load
from starwatt_errors import UsageError
from study.imported.requests import ImportedLoad, Request, at_a_rate, closed
from study.imported.shapes import MomentNs, Span, ToolShape, at, parsed, read_text, shaped

TOOL = "aiperf"
SUMMARY = "profile_export_aiperf.json"
_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "sec": 1e9, "s": 1e9}


class _Value(ToolShape):
    value: Span | list[Span]
    unit: str | None = None


class _Metadata(ToolShape):
    request_start_ns: MomentNs
    request_end_ns: MomentNs
    benchmark_phase: str = "profiling"
    was_cancelled: bool = False


class _Error(ToolShape):
    code: Annotated[int, Field(ge=0, le=999)] | None = None
    type: str | None = None
    message: str | None = None


class _Line(ToolShape):
    metadata: _Metadata
    metrics: dict[str, Any] = Field(default={})
    error: _Error | None = None


class _Phase(ToolShape):
    name: str | None = None
    kind: str | None = None
    type: str | None = None
    concurrency: int | None = None
    rate: float | None = None


class _Model(ToolShape):
    name: str | None = None


class _Summary(ToolShape):
    aiperf_version: str | None = None
    models: tuple[_Model, ...] = at("input_config.models.items", default=())
    phases: tuple[_Phase, ...] = at("input_config.phases", default=())


def is_aiperf_line(data: Any) -> bool:
    """Say whether this object is a record of it."""
    return isinstance(data, dict) and isinstance(data.get("metadata"), dict) and "metrics" in data


def aiperf_load(lines: list[Any], path: Path) -> ImportedLoad:
    """Return the load of a file's records.

    Raises:
        UsageError: one has no times, or a unit that is not known.
    """
    requests = [_request(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    summary = _summary(path.with_name(SUMMARY))
    models = [model.name for model in summary.models if model.name]
    return ImportedLoad(
        TOOL,
        summary.aiperf_version,
        tuple(requests),
        model=models[0] if len(models) == 1 else None,
        load=_load([phase for phase in summary.phases if "profiling" in (phase.kind, phase.name)]),
    )


def _summary(path: Path) -> _Summary:
    """Empty where there is none: it only spares flags."""
    return shaped(_Summary, parsed(read_text(path), str(path)), str(path)) if path.is_file() else _Summary()


def _request(data: Any, where: str) -> Request:
    line = shaped(_Line, data, where)
    about, failed = line.metadata, line.error
    values = {
        name: shaped(_Value, line.metrics[name], f"{where}, {name}")
        for name in _TAKEN
        if name in line.metrics
    }
    first = _each_ns(values, "time_to_first_token", where)
    chunks: tuple[int, ...] = ()
    if first and "inter_chunk_latency" in values:
        gaps = _each_ns(values, "inter_chunk_latency", where)
        chunks = tuple(round(about.request_start_ns + after) for after in accumulate(gaps, initial=first[0]))
    status = "aborted" if about.was_cancelled else "ok" if failed is None else _status(failed)
    return Request(
        status,
        role=_role(about),
        sent_ns=about.request_start_ns,
        first_token_ns=round(about.request_start_ns + first[0]) if first else None,
        end_ns=chunks[-1] if chunks else about.request_end_ns,
        chunk_ns=chunks,
        prompt_tokens=_count(values, "usage_prompt_tokens", "input_sequence_length"),
        output_tokens=_count(values, "usage_completion_tokens", "output_sequence_length"),
        http_status=failed.code if failed else None,
        error=None if failed is None else failed.message or failed.type or "aiperf does not say why",
    )


_TAKEN = (
    "time_to_first_token", "inter_chunk_latency", "usage_prompt_tokens", "input_sequence_length",
    "usage_completion_tokens", "output_sequence_length",
)  # fmt: skip


def _role(about: _Metadata) -> str:
    if about.benchmark_phase != "profiling":
        return "warmup"
    return "filler" if about.was_cancelled else "measured"


def _status(failed: _Error) -> str:
    if failed.code is not None and failed.code >= 400:
        return "http_error"
    return "timeout" if "timeout" in (failed.type or "").lower() else "failed"


def _each_ns(values: dict[str, _Value], name: str, where: str) -> list[float]:
    """Return a metric's values in nanoseconds; none where it is missing."""
    if name not in values:
        return []
    metric = values[name]
    if metric.unit not in _NS:
        raise UsageError(
            f"{where}, {name}: has the unit {metric.unit!r}, which is not known: takes {', '.join(_NS)}"
        )
    each = metric.value if isinstance(metric.value, list) else [metric.value]
    return [value * _NS[metric.unit] for value in each]


def _count(values: dict[str, _Value], *names: str) -> int | None:
    """Return the server's count where it gave one, otherwise aiperf's own."""
    numbers = (values[name].value for name in names if name in values)
    return next((round(number) for number in numbers if isinstance(number, float)), None)


def _load(phases: list[_Phase]) -> Load | None:
    if len(phases) != 1:
        return None
    phase = phases[0]
    if phase.type == "concurrency":
        return closed(phase.concurrency)
    return at_a_rate(phase.rate, phase.type, phase.concurrency)
