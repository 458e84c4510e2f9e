"""A task as the bytes of one HTTP request, made before the load starts."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from configs.datasets import Task
from configs.prompt_format import STOP_STRINGS, render_prompt
from configs.schema import FixedOutput, RecordedOutput
from loadgen.continuous_usage import FIELD
from loadgen.spec import LoadSpec
from starwatt_errors import UsageError

_PARTS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)?(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_PORTS = {"http": 80, "https": 443}
_SAFE_IN_PATH = "/%:@!$&'()*+,;=~"
_SAFE_IN_QUERY = _SAFE_IN_PATH + "?"


@dataclass(frozen=True)
class Endpoint:
    """Name the place of /v1/completions."""

    host: str
    port: int
    tls: bool
    path: str
    """With the query of the address, if it has one."""
    credentials: str | None = field(default=None, repr=False)
    """``user:password``, where the address has them; never shown."""

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read a base URL, with or without ``/v1``.

        Raises:
            UsageError: it is no http(s) URL, or one of another API; the message shows no credentials.
        """
        shown = shown_url(url)
        if any(not character.isprintable() for character in url):
            raise UsageError(f"--url {shown!r}: holds a control character")
        try:
            parts = urlsplit(url if _split(url)["scheme"] else f"http://{url}")
            port, host = parts.port, _ascii_host(parts.hostname or "")
        except ValueError as error:
            raise UsageError(f"--url {shown}: {error}") from error
        if parts.scheme not in _PORTS or not host:
            raise UsageError(f"--url {shown}: takes an address such as http://127.0.0.1:8000")
        if parts.path.rstrip("/").endswith("/chat/completions"):
            raise UsageError(
                f"--url {shown}: requests go to /v1/completions, not to the chat API: leave /chat/completions out"
            )
        base = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/v1")
        query = f"?{quote(parts.query, safe=_SAFE_IN_QUERY)}" if parts.query else ""
        path = f"{quote(base, safe=_SAFE_IN_PATH)}/v1/completions{query}"
        user, at, _ = parts.netloc.rpartition("@")
        credentials = unquote(user) if at else None
        return cls(host, port or _PORTS[parts.scheme], parts.scheme == "https", path, credentials)

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them: without the port that is usual."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "https" if self.tls else "http"


def shown_url(url: str) -> str:
    """An address as it may be printed and kept: without user and password."""
    parts = _split(url)
    return f"{parts['scheme'] or ''}{parts['authority'].rpartition('@')[2]}{parts['rest']}"


def _split(url: str) -> re.Match[str]:
    parts = _PARTS.fullmatch(url)
    assert parts is not None  # noqa: S101 -- it takes any text
    return parts


def _ascii_host(host: str) -> str:
    if " " in host:
        raise ValueError("a host's name holds no blank")
    try:
        return host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError as error:
        raise ValueError(f"{host} is no host's name") from error


def request_bytes(endpoint: Endpoint, spec: LoadSpec, task: Task, api_key: str | None) -> bytes:
    """Return head and body of a streaming completion request for ``task``.

    Raises:
        UsageError: lengths are recorded, but not of this task; or no header can carry the key.
    """
    prompts = spec.prompts
    body: dict[str, object] = {
        "model": spec.model,
        "prompt": (render_prompt(task.prompt) if task.has_tests else task.prompt)[: prompts.characters],
        "temperature": prompts.temperature,
        "stream": True,
        "stream_options": {"include_usage": True} | ({FIELD: True} if spec.continuous_usage else {}),
    }
    length = forced_length(spec, task)
    if length is None:
        most = prompts.max_tokens if task.max_tokens is None else min(prompts.max_tokens, task.max_tokens)
        stop = STOP_STRINGS if task.has_tests else task.stop
        body |= {"max_tokens": most, **({"stop": list(stop)} if stop else {})}
    elif spec.dialect == "transformers":
        forced = {"min_new_tokens": length, "max_new_tokens": length, "do_sample": prompts.temperature > 0}
        body |= {"max_tokens": length, "generation_config": json.dumps(forced)}
    else:
        body |= {"max_tokens": length, "ignore_eos": True}
    content = json.dumps(body).encode()
    head = [
        f"POST {endpoint.path} HTTP/1.1",
        f"Host: {endpoint.authority}",
        "Content-Type: application/json",
        "Accept: text/event-stream",
        f"Content-Length: {len(content)}",
    ]
    if (authorization := _authorization(endpoint, api_key)) is not None:
        head.append(f"Authorization: {authorization}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def checked_key(key: str | None, where: str) -> str | None:
    """A key that a header can carry, or None where there is none.

    Raises:
        UsageError: it holds a newline, another control character, or what is no ASCII.
    """
    if key and not (key.isprintable() and key.isascii()):
        raise UsageError(f"{where} holds a newline, or another character that no header can carry")
    return key or None


def _authorization(endpoint: Endpoint, api_key: str | None) -> str | None:
    """The key, or else what the address says."""
    if checked_key(api_key, "the API key (STARWATT_API_KEY)"):
        return f"Bearer {api_key}"
    if endpoint.credentials is None:
        return None
    return f"Basic {base64.b64encode(endpoint.credentials.encode()).decode()}"


def forced_length(spec: LoadSpec, task: Task) -> int | None:
    """Return the number of tokens that the answer must have; None where it ends by itself.

    Raises:
        UsageError: lengths are recorded, but not of this task.
    """
    output = spec.prompts.output
    if isinstance(output, FixedOutput):
        return output.fixed
    if not isinstance(output, RecordedOutput):
        return None
    if spec.lengths is None or task.task_id not in spec.lengths:
        raise UsageError(f"prompts.output.recorded: {output.recorded} has no length for {task.task_id}")
    return spec.lengths[task.task_id]
