"""The golden endpoint as an engine that others started: with a key, and saying of itself what vLLM says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.golden.endpoint import GoldenEndpoint

STARTED_S = 1_795_000_000.25
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class EngineElsewhere(GoldenEndpoint):
    """Refuses who has no key on all that begins with ``/v1``, as vLLM does."""

    key: str | None = None
    models: tuple[str, ...] = ("golden",)

    def routes(self) -> list[web.RouteDef]:
        """Those of the endpoint, and what vLLM tells of itself."""
        mine = [web.get("/version", self._version), web.get("/metrics", self._metrics)]
        return [*super().routes(), *mine]

    def middlewares(self) -> list[Any]:
        """The key."""

        @web.middleware
        async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
            given = request.headers.get("Authorization")
            if self.key and request.path.startswith("/v1") and given != f"Bearer {self.key}":
                return web.json_response({"error": "Unauthorized"}, status=401)
            return await handler(request)

        return [guard]

    async def _models(self, _: web.Request) -> web.Response:
        told = {"object": "model", "owned_by": "vllm", "root": "/models/golden", "max_model_len": 2048}
        return web.json_response({"object": "list", "data": [{"id": name, **told} for name in self.models]})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.0"})

    async def _metrics(self, _: web.Request) -> web.Response:
        lines = [
            f"process_start_time_seconds {STARTED_S}",
            'vllm:cache_config_info{block_size="16",enable_prefix_caching="False",num_gpu_blocks="512"} 1.0',
            f'vllm:num_requests_running{{model_name="golden"}} {len(self._active)}',
            f"vllm:num_requests_waiting {len(self._waiting)}",
            *(f"vllm:{kind}_tokens_total {count}" for kind, count in self._counted.items()),
        ]
        return web.Response(text="\n".join(lines) + "\n")
