"""Ask a server one word by chat before anything is measured: without a chat template it refuses every request alike."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request

from loadgen.answers.words import http_error_words
from loadgen.planning.payload import Endpoint
from starwatt_errors import UsageError

_TIMEOUT_S = 60.0
_LONGEST_WORDS = 400
_REFUSED = frozenset({400, 404, 405, 422, 501})
"""That it takes no such request; of others (a key, a limit, a crash) the load itself tells."""


def refuse_without_chat(url: str, model: str, key: str | None) -> None:
    """Raise where the server refuses to be asked by chat; nothing where it answers, or fails in another way.

    Raises:
        UsageError: with the server's own words, and what would do.
    """
    endpoint = Endpoint.parse(url, "chat")
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    headers = {"Content-Type": "application/json"}
    if key or endpoint.credentials:
        basic = base64.b64encode((endpoint.credentials or "").encode()).decode()
        headers["Authorization"] = f"Bearer {key}" if key else f"Basic {basic}"
    address = f"{endpoint.scheme}://{endpoint.authority}{endpoint.path}"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310 -- http(s), as parsed
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        with error:
            if error.code not in _REFUSED:
                return
            said = http_error_words(error.code, dict(error.headers.items()), error.read(_LONGEST_WORDS))
        raise UsageError(
            f"{address} refuses to be asked by chat (HTTP status {error.code}: {said[:_LONGEST_WORDS]}): serve a model "
            "that has a chat template, or give the server one (vLLM: --chat-template FILE), or ask for completions "
            "(--endpoint completions; endpoint: completions in a study)"
        ) from error
    except (OSError, http.client.HTTPException):
        return
