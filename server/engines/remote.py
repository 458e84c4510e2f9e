"""An engine that somebody else started: what it says of itself, and whether it still answers."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from server.engines.asking import answer_of
from server.engines.engine_metrics import finite
from server.process.waiting import ask_until
from starwatt_errors import EngineError, first_few
from traces.cell import Served

_TIMEOUT_S = 5.0
_POLL_S = 0.5
_LOOK_S = 2.0
"""It is asked no more often whether it lives: a question costs the idle power that is being measured."""
_MOST_NAMED = 8
_STARTED = re.compile(r"^process_start_time_seconds(?:\{.*\})?\s+(\S+)", re.MULTILINE)
_CACHE = re.compile(r"^vllm:cache_config_info\{(.*)\}\s+\S+", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass
class RemoteEngine:
    """One endpoint. ``served`` and ``model`` are known once ``wait_ready`` returned."""

    url: str
    """Without ``/v1``."""
    model: str | None = None
    """The name that requests use; None until it was asked for the only one that it lists."""
    api_key: str | None = field(default=None, repr=False)
    served: Served = field(default_factory=Served)
    by_proxy: bool = False
    """Whether it is asked by the proxy that the environment names, as a load may be."""
    _looked_s: float = 0.0

    def wait_ready(self, wait_s: float, announce: Callable[[str], None] = lambda _: None) -> None:
        """Wait until it lists its models, and note what it says of itself.

        Raises:
            EngineError: it does not answer within ``wait_s``, refuses the key, or does not serve that model.
        """

        def waiting() -> None:
            announce(f"waiting for {self.url}")

        try:
            listed = ask_until(self._models, _NoAnswerError, wait_s, poll_s=_POLL_S, waiting=waiting)
        except _NoAnswerError as error:
            waited = f"waited {wait_s:g} s" if wait_s else "asked once"
            raise EngineError(f"{self.url}: does not answer: {error} ({waited})") from error
        chosen = self._choose(listed)
        self.model = str(chosen["id"])
        self.served = self._description(chosen)

    def check_alive(self, when: str) -> None:
        """Raise EngineError where it no longer answers; asks every two seconds at most."""
        if time.monotonic() - self._looked_s < _LOOK_S:
            return
        self._looked_s = time.monotonic()
        try:
            self._get("/v1/models")
        except _NoAnswerError as error:
            raise EngineError(f"{self.url}: no longer answers {when}: {error}") from error

    def _models(self) -> list[dict[str, Any]]:
        try:
            told = json.loads(self._get("/v1/models"))
            return [dict(entry) for entry in told["data"] if entry["id"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise EngineError(f"{self.url}: answers, but /v1/models lists no models") from error

    def _choose(self, listed: list[dict[str, Any]]) -> dict[str, Any]:
        names = [str(entry["id"]) for entry in listed]
        if self.model is None and len(listed) == 1:
            return listed[0]
        if self.model in names:
            return listed[names.index(self.model)]
        if not names:
            raise EngineError(f"{self.url}: answers, but /v1/models lists no models")
        wanted = (
            "serves several models: say which by model:" if self.model is None else f"has no {self.model}"
        )
        lists = first_few(names, _MOST_NAMED)
        raise EngineError(f"{self.url}: {wanted} (it lists: {lists})", cause=f"{self.url}: {wanted}")

    def _description(self, chosen: dict[str, Any]) -> Served:
        """Return what vLLM tells whoever asks; null for what it, or another server, does not say."""
        metrics = self._unless_silent("/metrics")
        cache_line = _CACHE.search(metrics)
        cache = dict(_LABEL.findall(cache_line.group(1))) if cache_line else {}
        started = _STARTED.search(metrics)
        try:
            version = json.loads(self._unless_silent("/version")).get("version")
        except (ValueError, AttributeError, RecursionError):
            version = None
        length = chosen.get("max_model_len")
        return Served(
            engine="vllm" if chosen.get("owned_by") == "vllm" else None,
            version=str(version) if version else None,
            kv_cache_tokens=_tokens(cache),
            url=self.url,
            root=str(chosen["root"]) if chosen.get("root") else None,
            max_model_len=length if type(length) is int and length > 0 else None,
            prefix_cache={"True": True, "False": False}.get(cache.get("enable_prefix_caching", "")),
            started_s=None if started is None else finite(started.group(1)),
        )

    def _unless_silent(self, path: str) -> str:
        try:
            return self._get(path).decode(errors="replace")
        except (_NoAnswerError, EngineError):
            return ""

    def _get(self, path: str) -> bytes:
        try:
            return answer_of(self.url + path, _TIMEOUT_S, self.api_key, by_proxy=self.by_proxy)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise EngineError(
                    f"{self.url}: refuses the key (HTTP status {error.code}): STARWATT_API_KEY, or key: in the study",
                    cause=f"{self.url}: refuses the key",
                ) from error
            if error.code < 500:
                raise EngineError(f"{self.url}{path}: answers with HTTP status {error.code}") from error
            raise _NoAnswerError(f"HTTP status {error.code}") from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise _NoAnswerError(str(getattr(reason, "strerror", None) or reason)) from error


class _NoAnswerError(Exception):
    """It may answer later."""


def _tokens(cache: dict[str, str]) -> int | None:
    """KV capacity: blocks x tokens a block, as ``vllm:cache_config_info`` has them."""
    try:
        return int(cache["num_gpu_blocks"]) * int(cache["block_size"])
    except (KeyError, ValueError):
        return None
