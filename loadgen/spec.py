"""Define what the load generator's process is told: one JSON file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.files.strict import Line, Many, Seed, StrictModel
from configs.loads import Closed, FindRate, Load, Open, SingleStream
from configs.prompt_formats import EndpointKind
from configs.schema import Measure, Prompts

COMMON_WORDS = (
    "the", "of", "and", "to", "in", "is", "it", "for", "that", "on", "with", "as", "be", "at", "this", "by", "from",
    "or", "an", "are", "not", "if", "all", "one", "can", "which", "time", "list", "number", "string", "value",
    "return", "function", "class", "first", "last", "other", "new", "each", "into", "only", "more", "has", "have",
    "will", "use", "set",
)  # fmt: skip
"""Words that are one token with a blank before them in nearly every vocabulary."""
LONGEST_S = 30 * 86_400.0
"""The longest duration: what is longer, infinity among it, is a slip."""
MOST_REQUESTS = 10**7
"""The most requests of one load, whose plan is held in memory."""
Seconds = Annotated[float, Field(ge=0, le=LONGEST_S, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)]


class Passes(StrictModel):
    """Whole passes over the prompts: what a study measures."""

    kind: Literal["passes"] = "passes"
    measure: Measure


class Requests(StrictModel):
    """So many measured requests, going round the prompts."""

    kind: Literal["requests"]
    requests: int = Field(ge=1, le=MOST_REQUESTS)


class Duration(StrictModel):
    """All requests offered within a time are measured."""

    kind: Literal["duration"]
    seconds: PositiveSeconds


class Wording(StrictModel):
    """A server's count of the words that prompts of a recorded length are made of (``study/measure/wording.py``)."""

    words: Many[str] = Field(default=COMMON_WORDS, min_length=2, description="What prompts are drawn from")
    overhead_tokens: int = Field(
        default=0,
        ge=0,
        description="Tokens of a prompt without words: marks of its beginning, the chat template",
    )
    tokens_per_word: float = Field(default=1.0, ge=0.1, le=64, description="Tokens of a word, in the mean")
    counted: Literal["exactly", "in the mean", "by nobody"] = Field(
        default="by nobody",
        description="exactly: every word is one token; by nobody: the server does not say how long a prompt is",
    )

    def words_of(self, tokens: int) -> int:
        """Say how many words have about so many tokens."""
        return max(round(tokens / self.tokens_per_word), 0)


class LoadSpec(StrictModel):
    """One load on one endpoint. The API key is not here: it comes by the environment."""

    url: str = Field(description="The endpoint, with or without /v1")
    endpoint: EndpointKind = Field(
        default="completions", description="Which API is asked: /v1/completions or /v1/chat/completions"
    )
    model: Line = Field(description="The name that requests use")
    load: Load
    prompts: Prompts
    amount: Annotated[Passes | Requests | Duration, Field(discriminator="kind")]
    warmup_s: Seconds
    warmup_requests: int | None = Field(
        default=None,
        ge=1,
        description="In place of warmup_s, but for open loads, whose schedule says how many",
    )
    drain_s: Seconds
    wording: Wording | None = Field(
        default=None,
        description="What prompts of recorded lengths are made of, where the load's trace has some",
    )
    lengths: dict[str, int] | None = Field(
        default=None, description="Tokens of each task's answer, where they are recorded"
    )
    dialect: Literal["openai", "transformers"] = Field(
        default="openai",
        description="transformers: fixed lengths by a generation_config",
    )
    continuous_usage: bool = Field(
        default=True,
        description="Ask for the tokens of each chunk (stream_options.continuous_usage_stats) until it is refused",
    )
    dither_s: Seconds = Field(
        default=0.0,
        description="Constant arrivals, and the passes of a closed load, begin later by up to so much, evenly swept",
    )
    request_timeout_s: PositiveSeconds = 600.0
    seed: Seed
    block: int = Field(ge=1)
    client: Literal["auto", "wire", "httptools", "aiohttp"] = Field(
        default="auto",
        description="wire: sent and timed outside Python; httptools: on the event loop; aiohttp: the second"
        " opinion; auto: wire where endpoint and machine allow it, else httptools",
    )
    workers: int = Field(default=1, ge=1, le=256, description="Processes that share the schedule")

    @model_validator(mode="after")
    def _has_a_rate(self) -> LoadSpec:
        if isinstance(self.load, FindRate):
            raise ValueError("a rate is looked for window by window: each is an open load")  # noqa: TRY004 -- pydantic's
        return self

    @model_validator(mode="after")
    def _can_be_shared(self) -> LoadSpec:
        if self.workers == 1:
            return self
        if isinstance(self.load, SingleStream):
            raise ValueError("single-stream takes one worker")  # noqa: TRY004 -- pydantic wants it
        if isinstance(self.load, Open) and self.load.max_in_flight is not None:
            raise ValueError("an open load with max_in_flight takes one worker: one place is free for all")
        if isinstance(self.load, Closed) and self.load.concurrency < self.workers:
            raise ValueError(f"takes at most {self.load.concurrency}: so many requests are in flight")
        if (
            isinstance(self.load, Closed)
            and isinstance(self.amount, Passes)
            and self.amount.measure.min_s > 0
        ):
            raise ValueError("a closed load takes one worker where min_s decides how many passes there are")
        return self
