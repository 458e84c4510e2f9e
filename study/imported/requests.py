"""Define what every file of requests becomes, whichever tool wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from configs.loads import Load, SingleStream

LATEST_S = 4.1e9
"""Seconds since 1970 up to which a time is believed, in 2099: what lies beyond is in milliseconds, or damaged."""
LAG_UNKNOWN, CHUNKS_UNKNOWN = "lag_unknown", "chunks_unknown"
_LOADS: TypeAdapter[Load] = TypeAdapter(Load)
Clock = Literal["calendar", "monotonic"]


@dataclass(frozen=True)
class Request:
    """One request, as its tool tells it; None is what it does not say. Nanoseconds by the clock of its load."""

    status: str
    """Of ``traces.schemas.STATUSES``."""
    role: str = "measured"
    due_ns: int | None = None
    sent_ns: int | None = None
    first_token_ns: int | None = None
    end_ns: int | None = None
    chunk_ns: tuple[int, ...] = ()
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    http_status: int | None = None
    error: str | None = None
    completion: str | None = None


@dataclass(frozen=True)
class ImportedLoad:
    """One load of a file: a cell of the run."""

    tool: str
    version: str | None
    requests: tuple[Request, ...]
    clock: Clock = "calendar"
    """Of its times: seconds since 1970, or a clock that began anywhere."""
    written_at: str | None = None
    """With a monotonic clock: when the file was written, as it says itself."""
    model: str | None = None
    load: Load | None = None
    """How requests were offered, where the file says so in words that we have."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the reason codes of what it does not say."""
        codes = [] if any(request.due_ns is not None for request in self.requests) else [LAG_UNKNOWN]
        if not any(request.chunk_ns for request in self.requests):
            codes.append(CHUNKS_UNKNOWN)
        return tuple(codes)


def closed(concurrency: int | None) -> Load | None:
    """Return the load of so many requests in flight; None where that is none of ours."""
    if concurrency == 1:
        return SingleStream(kind="single_stream")
    return _known({"kind": "closed", "concurrency": concurrency})


def at_a_rate(qps: float | None, arrivals: str | None, most: int | None) -> Load | None:
    """Return the load of requests at a rate, at most so many in flight; None where that is none of ours."""
    fields = {"kind": "open", "qps": qps, "arrivals": arrivals, "max_in_flight": most}
    return None if arrivals is None else _known(fields)


def _known(fields: dict[str, Any]) -> Load | None:
    try:
        return _LOADS.validate_python(fields)
    except ValidationError:  # without a number, or beyond what a load of ours may be: a person names it
        return None


def nanoseconds(seconds: float | None) -> int | None:
    """Round to whole microseconds, since a double of seconds since 1970 holds no more; None stays None."""
    return None if seconds is None else round(seconds * 1e6) * 1000
