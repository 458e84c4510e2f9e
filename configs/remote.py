"""Engines that run elsewhere, as a study names them: where they answer, and who records their power."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from configs.strict import FilePath, Line, Seconds, StrictModel


def _checked_url(value: str) -> str:
    """An address without credentials: study files and runs are handed on, and what they hold with them."""
    if " " in value or not value.isprintable():
        raise ValueError("takes http(s)://HOST:PORT without blanks")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"takes http(s)://HOST:PORT: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("takes http(s)://HOST:PORT")
    if parts.username or parts.password:
        raise ValueError("takes no user and no password: a key comes by the environment or from a file")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_checked_url)]


class SecretSource(StrictModel):
    """Name the place that a key or a token is read from: no file of a study or a run holds it."""

    env: Line | None = Field(default=None, description="The name of an environment variable")
    file: FilePath | None = Field(default=None, description="A file that holds nothing else")

    @model_validator(mode="after")
    def _one_way(self) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("takes one of env and file")
        return self


class RemoteEngine(StrictModel):
    """An engine that already runs, on this machine or another."""

    url: Url = Field(description="The endpoint, with or without /v1")
    meter: Literal["local"] | Url | None = Field(
        default=None,
        description="Its power: the URL of `starwatt meter --serve` beside it, or local (this machine's); null: none",
    )
    model: Line | None = Field(
        default=None, description="The name that it serves; null: the only one that it lists"
    )
    key: SecretSource | None = Field(
        default=None,
        description="Of the bearer key for the engine; null: STARWATT_API_KEY, where that is set",
    )
    token: SecretSource | None = Field(
        default=None, description="Of the token for the meter's service; null: STARWATT_METER_TOKEN"
    )
    continuous_usage: bool = Field(
        default=True,
        description="Ask it for the tokens of each chunk; false: for those of whole answers alone",
    )
    wait_s: Seconds = Field(
        default=60.0, description="What does not answer by then, engine or meter, has failed"
    )

    @property
    def root(self) -> str:
        """The endpoint without ``/v1``."""
        return self.url.removesuffix("/v1")
