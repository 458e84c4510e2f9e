"""A task as the bytes of one HTTP request, made before the load starts."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

from configs.addresses import authority, read_address, shown_url
from configs.datasets import Task
from configs.prompt_formats import EndpointKind, format_of
from configs.schema import FixedOutput, RecordedOutput
from loadgen.answers.continuous_usage import FIELD, OPTIONS
from loadgen.spec import LoadSpec
from starwatt_errors import UsageError


@dataclass(frozen=True)
class Endpoint:
    """Name the place of /v1/completions, or of /v1/chat/completions."""

    host: str
    port: int
    tls: bool
    path: str
    """With the query of the address, if it has one."""
    credentials: str | None = field(default=None, repr=False)
    """``user:password``, where the address has them; never shown."""

    @classmethod
    def parse(cls, url: str, kind: EndpointKind = "completions") -> Endpoint:
        """Read a base URL, with or without ``/v1``, or the whole address of the API of this kind, taken as it stands.

        Raises:
            UsageError: it is no http(s) URL, or one of another API; the message shows no credentials.
        """
        shown = shown_url(url)
        try:
            address = read_address(url, scheme="http")
        except ValueError as error:
            raise UsageError(f"--url {shown}: {error}") from error
        base = address.path.rstrip("/")
        if base.endswith("/chat/completions") and kind != "chat":
            raise UsageError(
                f"--url {shown}: requests go to /v1/completions, not to the chat API: leave /chat/completions out, or "
                "ask for the chat API (--endpoint chat; endpoint: chat in a study)"
            )
        api = "/chat/completions" if kind == "chat" else "/completions"
        path = (
            base if base.endswith(api) else f"{base.removesuffix('/completions').removesuffix('/v1')}/v1{api}"
        )
        path = f"{path}{'?' if address.query else ''}{address.query}"
        return cls(address.host, address.port, address.scheme == "https", path, address.credentials)

    @property
    def authority(self) -> str:
        """Return host and port as the Host header has them: without the port that is usual."""
        return authority(self.scheme, self.host, self.port)

    @property
    def root(self) -> str:
        """Return the server's address, without credentials: up to ``/v1``."""
        path = self.path.partition("?")[0]
        for part in ("/completions", "/chat", "/v1"):
            path = path.removesuffix(part)
        return f"{self.scheme}://{self.authority}{path}"

    @property
    def scheme(self) -> str:
        """Return ``http`` or ``https``."""
        return "https" if self.tls else "http"


def request_bytes(endpoint: Endpoint, spec: LoadSpec, task: Task, api_key: str | None) -> bytes:
    """Return head and body of a streaming request for ``task``: of a completion, or of a chat.

    Raises:
        UsageError: lengths are recorded, but not of this task; or no header can carry the key.
    """
    prompts = spec.prompts
    form = format_of(task, spec.endpoint, begun=prompts.begin_answer)
    body = body_of(spec, form.render(task.prompt)[: prompts.characters], form.beginning)
    length = forced_length(spec, task)
    if length is not None:
        body |= forced(spec, length)
    else:
        most = prompts.max_tokens if task.max_tokens is None else min(prompts.max_tokens, task.max_tokens)
        body |= {"max_tokens": most, **({"stop": list(form.stop)} if form.stop else {})}
    content = json.dumps(body).encode()
    return head_bytes(endpoint, len(content), api_key) + content


def body_of(spec: LoadSpec, text: str, beginning: str = "") -> dict[str, object]:
    """Return what a request asks, but for the length of its answer."""
    return {
        "model": spec.model,
        **_asked(spec, text, beginning),
        "temperature": spec.prompts.temperature,
        "stream": True,
        OPTIONS: {"include_usage": True} | ({FIELD: True} if spec.continuous_usage else {}),
    }


def forced(spec: LoadSpec, length: int) -> dict[str, object]:
    """Return what makes an answer have so many tokens."""
    if spec.dialect == "transformers":
        sampled = spec.prompts.temperature > 0
        config = {"min_new_tokens": length, "max_new_tokens": length, "do_sample": sampled}
        return {"max_tokens": length, "generation_config": json.dumps(config)}
    return {"max_tokens": length, "ignore_eos": True}


def head_bytes(endpoint: Endpoint, length: int, api_key: str | None) -> bytes:
    """Return the head of a request with so many bytes of body.

    Raises:
        UsageError: no header can carry the key.
    """
    head = [
        f"POST {endpoint.path} HTTP/1.1",
        f"Host: {endpoint.authority}",
        "Content-Type: application/json",
        "Accept: text/event-stream",
        f"Content-Length: {length}",
    ]
    if (credentials := authorization(endpoint, api_key)) is not None:
        head.append(f"Authorization: {credentials}")
    return "\r\n".join(head).encode() + b"\r\n\r\n"


def _asked(spec: LoadSpec, text: str, beginning: str) -> dict[str, object]:
    if spec.endpoint != "chat":
        return {"prompt": text}
    messages = [{"role": "user", "content": text}]
    if not beginning:
        return {"messages": messages}
    messages.append({"role": "assistant", "content": beginning})
    return {"messages": messages, "add_generation_prompt": False, "continue_final_message": True}


def checked_key(key: str | None, where: str) -> str | None:
    """Return a key that a header can carry, or None where there is none.

    Raises:
        UsageError: it holds a newline, another control character, or what is no ASCII.
    """
    if key and not (key.isprintable() and key.isascii()):
        raise UsageError(f"{where} holds a newline, or another character that no header can carry")
    return key or None


def authorization(endpoint: Endpoint, api_key: str | None) -> str | None:
    """Return the header's value: the key, or else what the address says; None where neither is.

    Raises:
        UsageError: no header can carry the key.
    """
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
