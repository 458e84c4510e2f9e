"""Name engines that run elsewhere: where they answer, and who records their power."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from configs.addresses import read_address
from configs.files.strict import FilePath, Line, Seconds, StrictModel


def _checked_url(value: str) -> str:
    """Refuse an address with credentials: study files and runs are handed on, and what they hold with them."""
    if " " in value:
        raise ValueError("takes http(s)://HOST:PORT without blanks")
    address = read_address(value)
    if address.query or "#" in value:
        raise ValueError("takes http(s)://HOST:PORT, without ? and #")
    if address.credentials is not None:
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


class RemoteSettings(StrictModel):
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
        """Return the endpoint without ``/v1``, in ASCII."""
        return read_address(self.url).url.removesuffix("/v1")

    @property
    def host(self) -> str:
        """Name the host on which it runs."""
        return read_address(self.url).host
