"""Say how requests are offered: the loads of a study file."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from configs.files.strict import MOST_TOKENS, FilePath, Name, StrictModel, inconsistent

PROBE_PREFIX = "probe-"  # of the names of probe loads: no other load may be called so

_USUAL = re.compile(r"single[-_]stream|closed-\d+|open-[\d.e+-]+-(?:constant|poisson)(?:-most-\d+)?")
"""The names of loads that are given none."""


def is_probe(load: str) -> bool:
    """Say whether a load of this name is a probe: it feeds the rule ``phase``, and no contrast and no graded figure."""
    return load.startswith(PROBE_PREFIX)


class _Named(StrictModel):
    name: Name | None = Field(default=None, description="The load's name on disk and in tables")

    @property
    def usual_slug(self) -> str:
        """Return the load's name where it is given none."""
        raise NotImplementedError

    @property
    def slug(self) -> str:
        """The load's name in paths and tables."""
        return self.name or self.usual_slug

    @model_validator(mode="after")
    def _not_called_as_another(self) -> Self:
        """Tables and figures go by names: closed-8 with four in flight would be read as eight."""
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

    @field_validator("kind")
    @classmethod
    def _one_spelling(cls, _: str) -> Literal["single_stream"]:
        return "single_stream"

    @property
    def usual_slug(self) -> str:
        """Return the load's name where it is given none."""
        return "single-stream"


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
    qps: float | None = Field(default=None, ge=0.001, le=100_000, description="Requests a second")
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
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=65536,
        description="What is due beyond so many waits for a place, and its wait counts as latency",
    )

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


Load = Annotated[SingleStream | Closed | Open, Field(discriminator="kind")]
