"""Send one request to an endpoint, outside of any load, and read its whole answer."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple

from loadgen.answers.words import http_error_words
from loadgen.planning.payload import Endpoint, authorization
from server.engines.asking import read_answer

_LONGEST_WORDS = 400


class Refusal(NamedTuple):
    """How a server refuses a request."""

    status: int
    words: str
    """Its own, shortened."""

    def __str__(self) -> str:
        return f"HTTP status {self.status}: {self.words}"


def answer_to(
    endpoint: Endpoint, body: Mapping[str, object], key: str | None, timeout_s: float, *, client: str = "auto"
) -> tuple[bytes, str | None]:
    """Send the request; return the body of the answer, and its content type.

    It goes by a proxy where the load's ``client`` does.

    Raises:
        urllib.error.HTTPError: it answers with a status of 400 or above.
        OSError: it does not answer, or not in time.
    """
    headers = {"Content-Type": "application/json", **_credentials(endpoint, key)}
    request = urllib.request.Request(url_of(endpoint), json.dumps(body).encode(), headers)  # noqa: S310 -- http(s)
    return read_answer(request, timeout_s, by_proxy=goes_by_proxy(client))


def models_listed(
    endpoint: Endpoint, key: str | None, timeout_s: float, *, client: str = "auto"
) -> list[str]:
    """Return the models that the endpoint's server lists, asked as by ``answer_to``; none where it does not say."""
    url, headers = f"{endpoint.root}/v1/models", _credentials(endpoint, key)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 -- http(s)
    try:
        told, _ = read_answer(request, timeout_s, by_proxy=goes_by_proxy(client))
        return [name for entry in json.loads(told)["data"] if isinstance(name := entry["id"], str) and name]
    except urllib.error.HTTPError as error:
        error.close()
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _credentials(endpoint: Endpoint, key: str | None) -> dict[str, str]:
    value = authorization(endpoint, key)
    return {} if value is None else {"Authorization": value}


def refusal_of(
    endpoint: Endpoint, body: Mapping[str, object], key: str | None, timeout_s: float, *, client: str = "auto"
) -> Refusal | None:
    """Send the request; return how it is refused, or None where it is answered, or fails in another way."""
    try:
        answer_to(endpoint, body, key, timeout_s, client=client)
    except urllib.error.HTTPError as error:
        with error:
            try:
                told = error.read(_LONGEST_WORDS)
            except (OSError, http.client.HTTPException):  # the status came, and its words did not
                told = b""
            words = http_error_words(error.code, dict(error.headers.items()), told)
        return Refusal(error.code, words[:_LONGEST_WORDS])
    except OSError:
        return None
    return None


def goes_by_proxy(client: str) -> bool:
    """Say whether a load by this client takes the proxy that the environment names."""
    return client == "aiohttp"


def url_of(endpoint: Endpoint) -> str:
    """Return the address of the API, without credentials."""
    return f"{endpoint.scheme}://{endpoint.authority}{endpoint.path}"
