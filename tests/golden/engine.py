"""A simulated serving engine on virtual time: iteration-level batching with a known power.

Every step reads the weights once (``step_j``) and advances each decoding request by one token (``token_j``);
prompts that enter cost ``prompt_j`` a token. So batching saves energy by a known amount.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Model:
    """What a step takes in time, and what in energy."""

    step_s: float = 0.020
    per_request_s: float = 0.001
    per_prompt_token_s: float = 0.0001
    idle_w: float = 50.0
    step_j: float = 1.0
    token_j: float = 0.1
    prompt_j: float = 0.01


@dataclass
class Request:
    """One request's life, as the simulation lived it."""

    identity: int
    task: str
    role: str
    scheduled_ns: int
    prompt_tokens: int
    output_tokens: int
    sent_ns: int = 0
    token_ns: list[int] = field(default_factory=list)
    end_ns: int | None = None


@dataclass(frozen=True)
class Segment:
    """Constant power over a stretch of time."""

    start_ns: int
    end_ns: int
    power_w: float

    def joules(self, start_ns: int, end_ns: int) -> float:
        """What it drew between two moments."""
        overlap = min(self.end_ns, end_ns) - max(self.start_ns, start_ns)
        return self.power_w * max(overlap, 0) / SECOND


@dataclass(frozen=True)
class Load:
    """How requests are offered: ``concurrency`` in flight, or ``qps`` where that is given."""

    slug: str
    concurrency: int = 1
    qps: float | None = None


@dataclass
class Trace:
    """What happened: requests in the order they were sent, and power without gaps."""

    requests: list[Request]
    segments: list[Segment]
    idle_before: tuple[int, int]
    idle_after: tuple[int, int]


class Simulation:
    """Runs one cell: idle, warm-up, the measured set with filler behind it, drain, idle."""

    def __init__(
        self, model: Model, load: Load, tasks: list[tuple[str, int, int]], seed: int, start_ns: int
    ) -> None:
        self._model, self._load, self._tasks = model, load, tasks
        self._random = random.Random(seed)  # noqa: S311 - a simulation
        self._now = start_ns
        self._made = 0
        self._requests: list[Request] = []
        self._segments: list[Segment] = []

    def run(self, *, idle_s: float = 2.0, warmup: int = 3) -> Trace:
        """The whole cell."""
        before = self._idle(idle_s)
        roles = ["warmup"] * warmup + ["measured"] * len(self._tasks)
        offers = self._arrivals(roles) if self._load.qps else None
        active: list[Request] = []
        waiting: list[Request] = []
        while True:
            ended = sum(r.role == "measured" and r.end_ns is not None for r in self._requests)
            filling = ended < len(self._tasks)
            if offers is not None:
                while (
                    offers and offers[0].scheduled_ns <= self._now and (filling or offers[0].role != "filler")
                ):
                    waiting.append(self._send(offers.pop(0)))
                if not filling and not active and not waiting:
                    break
                if not active and not waiting:
                    self._advance(offers[0].scheduled_ns - self._now, self._model.idle_w)
                    continue
            else:
                while filling and len(active) + len(waiting) < self._load.concurrency:
                    role = roles[self._made] if self._made < len(roles) else "filler"
                    waiting.append(self._send(self._make(role, self._now)))
                if not active and not waiting:
                    break
            self._step(active, waiting)
        after = self._idle(idle_s)
        return Trace(self._requests, self._segments, before, after)

    def _arrivals(self, roles: list[str]) -> list[Request]:
        """Poisson arrivals for all roles, and filler for long enough after them."""
        assert self._load.qps is not None
        at, offers = self._now, []
        for role in [*roles, *["filler"] * 200]:
            at += int(self._random.expovariate(self._load.qps) * SECOND)
            offers.append(self._make(role, at))
        return offers

    def _make(self, role: str, scheduled_ns: int) -> Request:
        task, prompt, output = self._tasks[self._made % len(self._tasks)]
        self._made += 1
        return Request(self._made, task, role, scheduled_ns, prompt, output)

    def _send(self, request: Request) -> Request:
        request.sent_ns = self._now
        request.scheduled_ns = min(request.scheduled_ns, self._now)
        self._requests.append(request)
        return request

    def _step(self, active: list[Request], waiting: list[Request]) -> None:
        model, entering = self._model, list(waiting)
        waiting.clear()
        active.extend(entering)
        prompts = sum(request.prompt_tokens for request in entering)
        seconds = model.step_s + model.per_request_s * len(active) + model.per_prompt_token_s * prompts
        joules = model.step_j + model.token_j * len(active) + model.prompt_j * prompts
        self._advance(int(seconds * SECOND), model.idle_w + joules / seconds)
        for request in list(active):
            request.token_ns.append(self._now)
            if len(request.token_ns) == request.output_tokens:
                request.end_ns = self._now
                active.remove(request)

    def _idle(self, seconds: float) -> tuple[int, int]:
        start = self._now
        self._advance(int(seconds * SECOND), self._model.idle_w)
        return start, self._now

    def _advance(self, duration_ns: int, power_w: float) -> None:
        self._segments.append(Segment(self._now, self._now + duration_ns, power_w))
        self._now += duration_ns
