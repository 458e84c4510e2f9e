"""A task as the bytes of one HTTP request, made before the load starts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from configs.datasets import Task
from configs.prompt_format import STOP_STRINGS, render_prompt
from configs.schema import FixedOutput, RecordedOutput
from loadgen.spec import LoadSpec
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


def request_bytes(endpoint: Endpoint, spec: LoadSpec, task: Task, api_key: str | None) -> bytes:
    """Head and body of a streaming completion request for ``task``.

    Raises:
        UsageError: lengths are recorded, but not of this task.
    """
    prompts = spec.prompts
    body: dict[str, object] = {
        "model": spec.model,
        "prompt": (render_prompt(task.prompt) if task.has_tests else task.prompt)[: prompts.characters],
        "temperature": prompts.temperature,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
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
        f"Host: {f'[{endpoint.host}]' if ':' in endpoint.host else endpoint.host}:{endpoint.port}",
        "Content-Type: application/json",
        "Accept: text/event-stream",
        f"Content-Length: {len(content)}",
    ]
    if api_key:
        head.append(f"Authorization: Bearer {api_key}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def forced_length(spec: LoadSpec, task: Task) -> int | None:
    """How many tokens the answer must have; None where it ends by itself.

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
