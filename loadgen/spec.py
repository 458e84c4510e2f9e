"""What the load generator's process is told: one JSON file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.schema import Load, Measure, Prompts, StrictModel


class Passes(StrictModel):
    """Whole passes over the prompts: what a study measures."""

    kind: Literal["passes"] = "passes"
    measure: Measure


class Requests(StrictModel):
    """So many measured requests, going round the prompts."""

    kind: Literal["requests"]
    requests: int = Field(ge=1)


class Duration(StrictModel):
    """All requests offered within a time are measured."""

    kind: Literal["duration"]
    seconds: float = Field(gt=0)


class LoadSpec(StrictModel):
    """One load on one endpoint. The API key is not here: it comes by the environment."""

    url: str = Field(description="The endpoint, with or without /v1")
    model: str = Field(description="The name that requests use")
    load: Load
    prompts: Prompts
    amount: Annotated[Passes | Requests | Duration, Field(discriminator="kind")]
    warmup_s: float = Field(ge=0)
    drain_s: float = Field(ge=0)
    request_timeout_s: float = Field(default=600.0, gt=0)
    seed: int = Field(ge=0)
    block: int = Field(ge=1)
