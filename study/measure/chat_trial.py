"""Ask a server one word by chat before anything is measured: without a chat template it refuses every request alike."""

from __future__ import annotations

from loadgen.planning.payload import Endpoint
from starwatt_errors import UsageError
from study.measure.one_request import refusal_of, url_of

_TIMEOUT_S = 60.0
_REFUSED = frozenset({400, 404, 405, 422, 501})
"""That it takes no such request; of others (a key, a limit, a crash) the load itself tells."""


def refuse_without_chat(url: str, model: str, key: str | None, *, client: str = "auto") -> None:
    """Raise where the server refuses to be asked by chat; nothing where it answers, or fails in another way.

    Raises:
        UsageError: with the server's own words, and what would do.
    """
    endpoint = Endpoint.parse(url, "chat")
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    refused = refusal_of(endpoint, body, key, _TIMEOUT_S, client=client)
    if refused is not None and refused.status in _REFUSED:
        raise UsageError(
            f"{url_of(endpoint)} refuses to be asked by chat ({refused}): serve a model that has a chat template, or "
            "give the server one (vLLM: --chat-template FILE), or ask for completions (--endpoint completions; "
            "endpoint: completions in a study)"
        )
