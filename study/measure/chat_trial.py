"""Ask a server one word by chat before anything is measured: without a chat template it refuses every request alike."""

from __future__ import annotations

import urllib.error

from loadgen.answers.words import http_error_words
from loadgen.planning.payload import Endpoint
from starwatt_errors import UsageError
from study.measure.one_request import answer_to, url_of

_TIMEOUT_S = 60.0
_LONGEST_WORDS = 400
_REFUSED = frozenset({400, 404, 405, 422, 501})
"""That it takes no such request; of others (a key, a limit, a crash) the load itself tells."""


def refuse_without_chat(url: str, model: str, key: str | None, *, client: str = "auto") -> None:
    """Raise where the server refuses to be asked by chat; nothing where it answers, or fails in another way.

    Raises:
        UsageError: with the server's own words, and what would do.
    """
    endpoint = Endpoint.parse(url, "chat")
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    address = url_of(endpoint)
    try:
        answer_to(endpoint, body, key, _TIMEOUT_S, client=client)
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
    except OSError:
        return
