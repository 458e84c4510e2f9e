"""Ask an endpoint for its models before a load: a wrong name would cost the whole load, with an error each request."""

from __future__ import annotations

import re

from loadgen.planning.payload import Endpoint
from loadgen.spec import LoadSpec
from starwatt_errors import UsageError, first_few
from study.measure.one_request import Refusal, models_listed, refusal_of, url_of

_LISTED_IN_S = 5.0
_ANSWERED_IN_S = 60.0
_MOST_NAMED = 8
_NOT_THERE = 404
_WRONG = frozenset({400, 422})
"""Of a model where the words say so; of others (a key, a limit, a crash) the load itself tells."""


def refuse_unknown_model(spec: LoadSpec, key: str | None) -> None:
    """Raise where the endpoint lists other models, and refuses a request for this one.

    The list alone is no reason: gateways take names that they do not list. Nothing is asked of an endpoint that lists
    the model, or that lists none.

    Raises:
        UsageError: with the server's own words, and the models that it lists.
    """
    endpoint = Endpoint.parse(spec.url, spec.endpoint)
    listed = models_listed(endpoint, key, _LISTED_IN_S, client=spec.client)
    if not listed or spec.model in listed:
        return
    refused = _refusal(endpoint, spec, key)
    if refused is not None:
        raise UsageError(
            f"{url_of(endpoint)} refuses the model {spec.model} ({refused}); {endpoint.root}/v1/models lists: "
            f"{first_few(listed, _MOST_NAMED)}"
        )


def _refusal(endpoint: Endpoint, spec: LoadSpec, key: str | None) -> Refusal | None:
    """Return what it says to a request of one token; None where it answers, or fails in another way."""
    asked = {"messages": [{"role": "user", "content": "Hi"}]} if spec.endpoint == "chat" else {"prompt": "Hi"}
    body = {"model": spec.model, "max_tokens": 1, **asked}
    refused = refusal_of(endpoint, body, key, _ANSWERED_IN_S, client=spec.client)
    if refused is None or refused.status == _NOT_THERE:
        return refused
    names_it = re.search(rf"\bmodel\b|(?<!\w){re.escape(spec.model)}(?!\w)", refused.words, re.IGNORECASE)
    return refused if refused.status in _WRONG and names_it is not None else None
