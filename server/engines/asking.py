"""Small questions to an engine: a URL, a time limit, and the answer or what came in its place."""

from __future__ import annotations

import http.client
import urllib.request

_LONGEST_ANSWER = 8 << 20


def answer_of(url: str, timeout_s: float, key: str | None = None) -> bytes:
    """GET a URL and return the body.

    Raises:
        urllib.error.HTTPError: it answers with a status of 400 or above.
        OSError: it does not answer, or not in time.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 -- our own, or checked by configs/remote.py
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
            return bytes(response.read(_LONGEST_ANSWER))
    except http.client.HTTPException as error:
        raise OSError(str(error) or type(error).__name__) from error
