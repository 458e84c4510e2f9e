"""Say how requests are offered, and by whom: the loads of a study file, and Locust where the generator is not ours."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from configs.files.strict import LONGEST_S, MOST_TOKENS, FilePath, Line, Name, StrictModel, inconsistent

PROBE_PREFIX = "probe-"  # of the names of probe loads: no other load may be called so

_USUAL = re.compile(
    r"(?P<single>single[-_]stream)|closed-(?P<concurrency>\d+)"
    r"|open-(?P<qps>[\d.e+-]+)-(?P<arrivals>constant|poisson)(?:-most-(?P<max_in_flight>\d+))?"
)
"""The names of loads that are given none."""


_BOUND = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s)")
Milliseconds = Annotated[float, Field(gt=0, le=LONGEST_S * 1000)]
Rate = Annotated[float, Field(ge=0.001, le=100_000)]
"""Requests a second."""
_MOST_IN_FLIGHT = "What is due beyond so many waits for a place, and its wait counts as latency"
_MostInFlight = Annotated[int | None, Field(ge=1, le=65536, description=_MOST_IN_FLIGHT)]


def milliseconds(text: str) -> float | None:
    """Read a time with its unit, such as ``200ms`` or ``2s``; None where it is none."""
    match = _BOUND.fullmatch(text)
    return None if match is None else float(match[1]) * (1000 if match[2] == "s" else 1)


class Slo(StrictModel):
    """Bounds that a good request keeps; those given all count. ``ttft: 200ms`` is read too, as ``ttft_ms: 200``."""

    ttft_ms: Milliseconds | None = Field(default=None, description="Time to the first token")
    tpot_ms: Milliseconds | None = Field(default=None, description="Mean time between tokens")
    e2e_ms: Milliseconds | None = Field(default=None, description="Until the answer was whole")

    @model_validator(mode="before")
    @classmethod
    def _in_milliseconds(cls, data: Any) -> Any:
        """Read bounds with their units, as the command line takes them."""
        if not isinstance(data, dict):
            return data
        read: dict[Any, Any] = {}
        for name, bound in data.items():
            bound_ms = milliseconds(bound.strip()) if isinstance(bound, str) else None
            if name not in ("ttft", "tpot", "e2e") or f"{name}_ms" in data:
                read[name] = bound
            elif bound_ms is None:
                raise inconsistent(
                    str(name), f"takes a time with its unit, such as 200ms or 2s (given: {bound!r})"
                )
            else:
                read[f"{name}_ms"] = bound_ms
        return read

    @model_validator(mode="after")
    def _bounds_something(self) -> Slo:
        if all(bound is None for _, bound in self):
            raise ValueError(f"takes at least one of {', '.join(type(self).model_fields)}; null is none")
        return self

    @property
    def bounds_ms(self) -> dict[str, float]:
        """Return those given, by ``ttft``, ``tpot`` and ``e2e``."""
        return {name.removesuffix("_ms"): bound for name, bound in self if bound is not None}


def is_probe(load: str) -> bool:
    """Say whether a load of this name is a probe: it feeds the rule ``phase``, and no contrast and no graded figure."""
    return load.startswith(PROBE_PREFIX)


class _Named(StrictModel):
    name: Name | None = Field(default=None, description="The load's name on disk and in tables")
    kind: str

    @field_validator("kind")
    @classmethod
    def _one_spelling(cls, kind: str) -> str:
        return kind.replace("-", "_")

    @property
    def usual_slug(self) -> str:
        """Return the load's name where it is given none."""
        return self.kind.replace("_", "-")

    @property
    def slug(self) -> str:
        """Return the load's name in paths and tables."""
        return self.name or self.usual_slug

    @model_validator(mode="after")
    def _not_called_as_another(self) -> Self:
        """Refuse another load's name: tables go by names, and closed-8 with four in flight would be read as eight."""
        if self.name is not None and _USUAL.fullmatch(self.name) and self.name != self.usual_slug:
            raise inconsistent(
                "name",
                f"takes another name: {self.name} is what another load is called (this is {self.usual_slug})",
            )
        return self


class SingleStream(_Named):
    """One request in flight: the next is sent when the last has ended."""

    kind: Literal["single_stream", "single-stream"] = Field(
        description="Also single-stream, as the load is called; kept as single_stream"
    )


class Closed(_Named):
    """A fixed number of requests in flight."""

    kind: Literal["closed"]
    concurrency: int = Field(ge=1, le=65536, description="Requests in flight")

    @property
    def usual_slug(self) -> str:
        """Return the load's name where it is given none."""
        return f"closed-{self.concurrency}"


class Open(_Named):
    """Requests at given times, whatever the server does: at a rate, or as a file recorded them."""

    kind: Literal["open"]
    qps: Rate | None = Field(default=None, description="Requests a second")
    arrivals: Literal["constant", "poisson"] | None = Field(
        default=None,
        description="With qps: gaps between requests all equal, or exponential (poisson, the default)",
    )
    dither_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=10_000)] = Field(
        default="auto",
        description="With constant arrivals: each is later by up to so much, by an even sweep, so that a power sensor"
        " sees all phases of the load; auto: whole periods of a sensor that does not see everything, 100 ms at least,"
        " where fewer than two requests are due within them; 0: none",
    )
    trace: FilePath | None = Field(
        default=None,
        description="In place of qps: a file of arrivals, one offset in seconds a line; or a recording with the lengths"
        " of prompts and answers, which are then asked: a table as Azure and BurstGPT have it, or Mooncake's JSON"
        " Lines; relative to the study file",
    )
    most_tokens: int | None = Field(
        default=None,
        ge=2,
        le=2 * MOST_TOKENS,
        description="With a trace that has lengths: longer requests (prompt and answer) are left out, and counted",
    )
    max_in_flight: _MostInFlight = None

    @model_validator(mode="before")
    @classmethod
    def _default_arrivals(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("qps") is not None and data.get("arrivals") is None:
            return {**data, "arrivals": "poisson"}
        return data

    @model_validator(mode="after")
    def _one_way(self) -> Open:
        if (self.qps is None) == (self.trace is None):
            raise ValueError("an open load takes one of qps and trace")
        if self.trace is not None and self.arrivals is not None:
            raise ValueError("arrivals belongs to qps: a trace has its own")
        if self.most_tokens is not None and self.trace is None:
            raise inconsistent("most_tokens", "belongs to a trace with lengths")
        if self.dither_ms != "auto" and self.arrivals != "constant":
            raise inconsistent("dither_ms", "belongs to constant arrivals")
        return self

    @property
    def usual_slug(self) -> str:
        """Return the load's name where it is given none."""
        capped = f"-most-{self.max_in_flight}" if self.max_in_flight is not None else ""
        if self.trace is not None:
            return f"open-trace-{re.sub(r'[^A-Za-z0-9._-]', '-', self.trace.stem)}{capped}"
        return f"open-{self.qps:g}-{self.arrivals}{capped}"


def load_called(name: str) -> SingleStream | Closed | Open | None:
    """Return the load that is called so where it is given no name, such as ``closed-8``; None where none is."""
    match = _USUAL.fullmatch(name)
    if match is None:
        return None
    told = match.groupdict()
    try:
        if told["single"]:
            return SingleStream(kind="single_stream")
        if told["concurrency"]:
            return Closed(kind="closed", concurrency=int(told["concurrency"]))
        most = told["max_in_flight"]
        asked = {"qps": float(told["qps"]), "arrivals": told["arrivals"]}
        return Open.model_validate(
            {"kind": "open", **asked, "max_in_flight": None if most is None else int(most)}
        )
    except ValueError:  # a number beyond what a load may have
        return None


_NOT_OF_A_SEARCH = {
    "qps": "takes no qps, for that is what it looks for: first_qps is where it begins, most_qps where it ends",
    "trace": "takes no trace: recorded arrivals have one rate, and only arrivals of any rate can be looked through",
    "most_tokens": "takes no most_tokens: it belongs to a trace with lengths, and a rate is looked for without one",
    "concurrency": "takes no concurrency: it looks for a rate, whatever is in flight; max_in_flight caps that",
    "dither_ms": "takes no dither_ms: constant arrivals are dithered as power sensors need it",
}
"""Fields of other loads."""


class FindRate(_Named):
    """The highest rate at which enough requests are good: each cell looks for its own, and is measured at it."""

    kind: Literal["find_rate", "find-rate"] = Field(
        description="Also find-rate, as the load is called; kept as find_rate"
    )
    slo: Slo | None = Field(default=None, description="What a good request keeps; null: the study's slo")
    share: float = Field(
        default=0.9,
        ge=0.5,
        le=0.999,
        description="Good requests of those offered, from which on a rate holds",
    )
    arrivals: Literal["constant", "poisson"] = Field(
        default="poisson", description="Gaps between requests all equal, or exponential"
    )
    first_qps: Rate | None = Field(
        default=None, description="Where the search begins; null: at as many as one request at a time makes"
    )
    most_qps: Rate = Field(default=100_000.0, description="No higher rate is tried")
    max_in_flight: _MostInFlight = None
    window_s: float = Field(default=10.0, ge=1, le=86_400, description="The shortest window of the search")
    search_for_s: float = Field(
        default=900.0,
        ge=1,
        le=86_400,
        description="After that nothing but the rate that is known is measured",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_other_load(cls, data: Any) -> Any:
        for field, words in _NOT_OF_A_SEARCH.items():
            if isinstance(data, dict) and data.get(field) is not None:
                raise inconsistent(field, f"find_rate {words}")
        return data

    @model_validator(mode="after")
    def _can_be_looked_for(self) -> FindRate:
        if self.first_qps is not None and self.first_qps > self.most_qps:
            raise inconsistent("first_qps", f"takes at most most_qps ({self.most_qps:g})")
        if self.window_s > self.search_for_s:
            raise inconsistent("window_s", f"takes at most search_for_s ({self.search_for_s:g})")
        return self

    @property
    def bounds_ms(self) -> dict[str, float]:
        """Return its own bounds by ``ttft``, ``tpot`` and ``e2e``; none where those of the study count."""
        return {} if self.slo is None else self.slo.bounds_ms


Load = Annotated[SingleStream | Closed | Open | FindRate, Field(discriminator="kind")]


class Locust(StrictModel):
    """Locust's distributed mode: the study starts the master for each cell, and waits for workers started elsewhere."""

    kind: Literal["locust"]
    workers: int = Field(
        ge=1, le=256, description="Workers that share each schedule; a cell waits for all of them"
    )
    bind: Line = Field(default="127.0.0.1", description="Address on which the master listens")
    port: int = Field(default=5557, ge=1, le=65535, description="Its port")
    wait_s: int = Field(
        default=300, ge=1, le=LONGEST_S, description="A cell has failed whose workers are not there by then"
    )
