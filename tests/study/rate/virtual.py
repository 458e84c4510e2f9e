"""Servers on virtual time whose highest rate is known, and the windows that are measured of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.requests.columns import Requests, read_columns
from configs.loads import FindRate, Open, Slo
from loadgen.spec import LoadSpec
from loadgen.spec import Requests as So
from study.rate.find import RateSearch, SearchResult
from study.rate.search import Trial
from tests.support.driving import make_spec
from traces.schemas import REQUESTS

Floats = npt.NDArray[np.floating[Any]]
TOKENS = 5


@dataclass(frozen=True)
class Served:
    """What became of n requests, seconds from the window's start; ``end_s`` is NaN where one was refused."""

    first_s: Floats
    end_s: Floats


Server = Callable[[Floats, np.random.Generator], Served]
"""Serves requests that are due at these seconds (n,)."""


def queueing(
    service_s: float, places: int = 1, *, exponential: bool = False, most: int | None = None
) -> Server:
    """Serve in the order in which they came; who finds ``most`` there is refused."""

    def serve(due_s: Floats, rng: np.random.Generator) -> Served:
        takes = rng.exponential(service_s, due_s.size) if exponential else np.full(due_s.size, service_s)
        free = [0.0] * places
        heapq.heapify(free)
        there: list[float] = []
        end_s = np.full(due_s.size, np.nan)
        for k, due in enumerate(due_s):
            while there and there[0] <= due:
                heapq.heappop(there)
            if most is not None and len(there) >= most:
                continue
            end_s[k] = max(heapq.heappop(free), due) + takes[k]
            heapq.heappush(free, end_s[k])
            heapq.heappush(there, end_s[k])
        return Served(end_s, end_s)

    return serve


def steady(first_s: float) -> Server:
    """Take the same time at every rate."""
    return lambda due_s, _: Served(due_s + first_s, due_s + first_s)


def bucket(rate: float, burst: int) -> Server:
    """Answer at once while there are tokens, of which so many come in a second; refuse (429) what comes beyond."""

    def serve(due_s: Floats, _: np.random.Generator) -> Served:
        tokens, last, end_s = float(burst), 0.0, np.full(due_s.size, np.nan)
        for k, due in enumerate(due_s):
            tokens, last = min(tokens + (due - last) * rate, burst), due
            if tokens >= 1:
                tokens, end_s[k] = tokens - 1, due + 0.01
        return Served(end_s, end_s)

    return serve


def requests_of(due_s: Floats, served: Served, late_s: float = 0.0, measured_from_s: float = 0.0) -> Requests:
    """What the load generator would have written of them; ``late_s``: it sent each so late."""
    refused = np.isnan(served.end_s)
    end_s = np.where(refused, due_s + 0.001, served.end_s) + late_s
    first_s = np.where(refused, due_s, served.first_s) + late_s
    ns = {name: np.round(times * 1e9).astype(np.int64) for name, times in (("due", due_s), ("end", end_s))}
    count = due_s.size
    columns = {
        "request_id": np.arange(count),
        "task_id": ["t"] * count,
        "role": np.where(due_s < measured_from_s, "warmup", "measured").tolist(),
        "status": np.where(refused, "http_error", "ok").tolist(),
        "scheduled_ns": ns["due"],
        "sent_ns": ns["due"] + round(late_s * 1e9),
        "first_token_ns": pa.array(np.round(first_s * 1e9).astype(np.int64), mask=refused),
        "end_ns": ns["end"],
        "output_tokens": pa.array(np.full(count, TOKENS), mask=refused),
        "chunk_ns": [[]] * count,
    }
    arrays = [
        pa.array(columns[field.name], type=field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in REQUESTS
    ]
    return read_columns(pa.Table.from_arrays(arrays, schema=REQUESTS))


def wanted_of(bounds_ms: dict[str, float], **fields: Any) -> FindRate:
    """The load of a study that looks for the highest rate within these bounds."""
    slo = Slo(**{f"{name}_ms": bound_ms for name, bound_ms in bounds_ms.items()})
    return FindRate(kind="find_rate", slo=slo, **fields)


@dataclass
class World:
    """A server and a load generator on virtual time, and the search on them."""

    server: Server
    bounds_ms: dict[str, float]
    seed: int = 0
    late: Callable[[float, np.random.Generator], bool] = lambda _, __: False
    """Whether the load generator is late in a window of this rate."""
    seconds: float = 0.0
    said: list[str] = field(default_factory=list)
    specs: list[LoadSpec] = field(default_factory=list)

    def search(self, **wanted: Any) -> SearchResult:
        """The whole of it."""
        self._rng = np.random.default_rng(self.seed)
        base = make_spec("http://127.0.0.1:1", {"kind": "single_stream"})
        asked = wanted_of(self.bounds_ms, **wanted)
        return RateSearch(base, asked, self.measure, self.said.append, lambda: self.seconds).run()

    def measure(self, spec: LoadSpec, _: Trial | None) -> Requests:
        """One window, as the load generator would have measured it."""
        self.specs.append(spec)
        assert isinstance(spec.amount, So)
        count = spec.amount.requests
        if not isinstance(spec.load, Open):
            apart_s = np.arange(count) * 1e4  # nobody meets another
            alone = self.server(apart_s, self._rng)
            self.seconds += float(np.nansum(alone.end_s - apart_s))
            return requests_of(apart_s, alone)
        rate = spec.load.qps or 0.0
        warm = int(spec.warmup_s * rate)
        due_s = np.cumsum(self._rng.exponential(1 / rate, warm + count))
        self.seconds += float(due_s[-1])
        late_s = 0.05 if self.late(rate, self._rng) else 0.0
        return requests_of(due_s, self.server(due_s, self._rng), late_s, float(due_s[warm]))
