"""A task as the bytes of one HTTP request, made before the load starts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from configs.datasets import Task
from configs.prompt_format import STOP_STRINGS, render_prompt
from configs.schema import FixedOutput, Prompts
from starwatt_errors import UsageError


@dataclass(frozen=True)
class Endpoint:
    """Where /v1/completions is."""

    host: str
    port: int
    tls: bool
    path: str

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """From a base URL, with or without ``/v1``.

        Raises:
            UsageError: it is no http(s) URL.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError as error:
            raise UsageError(f"--url {url}: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--url {url}: takes an address such as http://127.0.0.1:8000")
        tls = parts.scheme == "https"
        base = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/v1")
        return cls(parts.hostname, port or (443 if tls else 80), tls, f"{base}/v1/completions")


def request_bytes(endpoint: Endpoint, model: str, task: Task, prompts: Prompts, api_key: str | None) -> bytes:
    """Head and body of a streaming completion request for ``task``."""
    body: dict[str, object] = {
        "model": model,
        "prompt": render_prompt(task.prompt)[: prompts.characters],
        "temperature": prompts.temperature,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    if isinstance(prompts.output, FixedOutput):
        body |= {"max_tokens": prompts.output.fixed, "ignore_eos": True}
    else:
        body |= {"max_tokens": prompts.max_tokens, "stop": list(STOP_STRINGS)}
    content = json.dumps(body).encode()
    head = [
        f"POST {endpoint.path} HTTP/1.1",
        f"Host: {f'[{endpoint.host}]' if ':' in endpoint.host else endpoint.host}:{endpoint.port}",
        "Content-Type: application/json",
        "Accept: text/event-stream",
        f"Content-Length: {len(content)}",
    ]
    if api_key:
        head.append(f"Authorization: Bearer {api_key}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content
