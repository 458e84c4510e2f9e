"""The golden world in real time: an OpenAI endpoint whose steps draw power from a simulated board.

It batches by iteration as vLLM does, with the step times and joules of ``engine.Model``; each step sets the board's
power for as long as it really took, and is written down; a board at a limit makes slower steps (``limits.py``). So the
truth of any window is known, whatever the machine was busy with.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.golden.engine import Model
from tests.golden.limits import paced
from tests.golden.nvml.world import GoldenBoards
from tests.support.busy import PATIENCE_S
from traces.clock import now_ns

SECOND = 1_000_000_000
NO_TEMPLATE = "As of transformers v4.44, default chat template is no longer allowed"


@dataclass(frozen=True)
class Step:
    """One iteration, as it happened."""

    start_ns: int
    end_ns: int
    power_w: float
    decoding: int  # requests that got a token
    prompt_tokens: int  # of those that entered


@dataclass(eq=False)
class Place:
    """One request in flight."""

    prompt_tokens: int
    wanted: int
    texts: Sequence[str] = ()
    sent: int = 0
    tokens: asyncio.Queue[int] = field(default_factory=asyncio.Queue)


@dataclass
class GoldenEndpoint:
    """Use as a context manager; ``steps`` and the board hold the truth."""

    boards: GoldenBoards
    model: Model = field(default_factory=Model)
    most: int = 256  # requests in one step
    steps: list[Step] = field(default_factory=list)
    port: int = 0
    board: int = 0
    ripple: float = 0.0  # of a step's power, up and down from step to step
    answers: Mapping[str, str] = field(
        default_factory=dict
    )  # by prompt, or by what the user of a chat says; else " x" as often as it is asked to
    has_template: bool = True  # of chats

    @property
    def url(self) -> str:
        """Without /v1."""
        return f"http://127.0.0.1:{self.port}"

    def tokens_between(self, start_ns: int, end_ns: int) -> int:
        """Tokens that steps ended with in this stretch."""
        return sum(step.decoding for step in self.steps if start_ns <= step.end_ns < end_ns)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="golden-endpoint")
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(timeout=PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(timeout=PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        self._waiting: list[Place] = []
        self._active: list[Place] = []
        self._news = asyncio.Event()
        app = web.Application(middlewares=self.middlewares())
        app.add_routes(self.routes())
        self._counted = {"prompt": 0, "generation": 0}
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._stepping = asyncio.create_task(self._run())

    def routes(self) -> list[web.RouteDef]:
        """What it answers."""
        return [
            web.post("/v1/completions", self._complete),
            web.post("/v1/chat/completions", self._chat),
            web.get("/v1/models", self._models),
            web.get("/health", self._health),
            web.get("/metrics", self._metrics),
        ]

    def middlewares(self) -> list[Any]:
        """What stands before every answer."""
        return []

    async def _shut(self) -> None:
        self._stepping.cancel()
        await asyncio.gather(self._stepping, return_exceptions=True)
        await self._runner.cleanup()

    async def _run(self) -> None:
        while True:
            if not self._active and not self._waiting:
                self.boards.draw(self.model.idle_w, board=self.board)
                self._news.clear()
                await self._news.wait()
            await self._step()

    async def _step(self) -> None:
        model = self.model
        entering = self._waiting[: self.most - len(self._active)]
        del self._waiting[: len(entering)]
        self._active += entering
        prompts = sum(place.prompt_tokens for place in entering)
        decoding = len(self._active)
        seconds = model.step_s + model.per_request_s * decoding + model.per_prompt_token_s * prompts
        joules = model.step_j + model.token_j * decoding + model.prompt_j * prompts
        joules *= 1 + self.ripple * math.sin(len(self.steps))
        limit_w, locked_mhz = self.boards.limit_of(self.board)
        top_mhz = self.boards.top_mhz(self.board)
        pace = paced(seconds, joules, model.idle_w, limit_w=limit_w, clock=(locked_mhz or top_mhz) / top_mhz)
        seconds, power_w = pace.seconds, model.idle_w + pace.joules / pace.seconds
        start_ns = now_ns()
        self.boards.draw(power_w, start_ns, board=self.board)
        await asyncio.sleep(seconds)
        end_ns = now_ns()
        self.steps.append(Step(start_ns, end_ns, power_w, decoding, prompts))
        self._counted["prompt"] += prompts
        self._counted["generation"] += decoding
        for place in self._active:
            place.sent += 1
            place.tokens.put_nowait(place.sent)
        self._active = [place for place in self._active if place.sent < place.wanted]

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "golden", "object": "model"}]})

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, _: web.Request) -> web.Response:
        values = {
            "num_requests_running": len(self._active),
            "num_requests_waiting": len(self._waiting),
            **{f"{kind}_tokens_total": count for kind, count in self._counted.items()},
        }
        return web.Response(text="".join(f"vllm:{name} {value}\n" for name, value in values.items()))

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        place = self._place(body["prompt"], int(body["max_tokens"]))
        return await self._answer(request, place, event)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        if not self.has_template:
            return web.json_response({"error": {"message": NO_TEMPLATE, "code": 400}}, status=400)
        place = self._place(body["messages"][-1]["content"], int(body["max_tokens"]))
        return await self._answer(request, place, _delta)

    async def _answer(
        self, request: web.Request, place: Place, event: Callable[..., bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._waiting.append(place)
        self._news.set()
        for number in range(1, place.wanted + 1):
            await place.tokens.get()
            await response.write(event(place, number, last=number == place.wanted))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _place(self, prompt: str, most: int) -> Place:
        answer = self.answers.get(prompt)
        length = max(1, len(prompt) // 4)
        if answer is None:
            return Place(length, most)
        texts = [answer[at : at + 4] for at in range(0, len(answer), 4)]
        return Place(length, min(most, len(texts)), texts)


def event(place: Place, number: int, *, last: bool) -> bytes:
    """One chunk of an answer as a server sends it."""
    text = place.texts[number - 1] if place.texts else " x"
    end = "stop" if number == len(place.texts) else "length"
    chunk = {
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "finish_reason": end if last else None}],
        "usage": {
            "prompt_tokens": place.prompt_tokens,
            "completion_tokens": number,
            "total_tokens": place.prompt_tokens + number,
        },
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _delta(place: Place, number: int, *, last: bool) -> bytes:
    """The same of a chat."""
    chunk = json.loads(event(place, number, last=last).removeprefix(b"data: "))
    for choice in chunk["choices"]:
        choice["delta"] = {"content": choice.pop("text")}
    return f"data: {json.dumps(chunk)}\n\n".encode()
