"""Small questions to an engine: a URL, a time limit, and the answer or what came in its place."""

from __future__ import annotations

import http.client
import urllib.request
from functools import cache
from typing import IO
from urllib.parse import urlsplit

_LONGEST_ANSWER = 8 << 20


def answer_of(url: str, timeout_s: float, key: str | None = None, *, by_proxy: bool = False) -> bytes:
    """GET a URL and return the body, asked as by ``read_answer``.

    Raises:
        urllib.error.HTTPError: it answers with a status of 400 or above.
        OSError: it does not answer, or not in time.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 -- our own, or checked by configs/remote.py
    return read_answer(request, timeout_s, by_proxy=by_proxy)[0]


def read_answer(
    request: urllib.request.Request, timeout_s: float, *, by_proxy: bool = False
) -> tuple[bytes, str | None]:
    """Ask as a load asks: straight, whatever proxy the environment names, unless ``by_proxy``.

    Returns:
        The body of the answer, and its content type.

    Raises:
        urllib.error.HTTPError: it answers with a status of 400 or above.
        OSError: it does not answer, or not in time.
    """
    opener = urllib.request.build_opener(_KeyToOneHost) if by_proxy else _straight()
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return bytes(answer.read(_LONGEST_ANSWER)), answer.headers.get("content-type")
    except http.client.HTTPException as error:
        raise OSError(str(error) or type(error).__name__) from error


@cache
def _straight() -> urllib.request.OpenerDirector:
    """Return what asks by no proxy, made once: Python 3.12 reads all certificates for each, and scrapes are many."""
    return urllib.request.build_opener(_KeyToOneHost, urllib.request.ProxyHandler({}))


class _KeyToOneHost(urllib.request.HTTPRedirectHandler):
    """Goes where an answer points, and tells the key to nobody but whom it was meant for."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        redirected = super().redirect_request(req, fp, code, msg, headers, newurl)
        if redirected is not None and _place(newurl) != _place(req.full_url):
            redirected.remove_header("Authorization")
        return redirected


def _place(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
