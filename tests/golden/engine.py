"""A simulated serving engine on virtual time: iteration-level batching with a known power.

Every step reads the weights once (``step_j``) and advances each decoding request by one token (``token_j``);
prompts that enter cost ``prompt_j`` a token. So batching saves energy by a known amount. Other models of a step
are in ``step_models.py``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

SECOND = 1_000_000_000
Amounts = tuple[float, float, float]  # requests, tokens of prompts, tokens that attention looks at


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

    def amounts(self, work: Work) -> Amounts:
        """What a step does for one request; amounts of several add up."""
        return 1.0, float(work.prefill), float(work.context)

    def seconds(self, amounts: Amounts) -> float:
        """How long a step takes that does this much."""
        requests, prompts, _ = amounts
        return self.step_s + self.per_request_s * requests + self.per_prompt_token_s * prompts

    def joules(self, amounts: Amounts) -> float:
        """What it draws beyond idle power."""
        requests, prompts, _ = amounts
        return self.step_j + self.token_j * requests + self.prompt_j * prompts

    @property
    def most_tokens(self) -> int | None:
        """How many tokens (decoded and of prompts) a step takes at most; None: any number."""
        return None


@dataclass(frozen=True)
class Work:
    """What a step does for one request: tokens of its prompt, whether it yields a token, and what it attends to."""

    prefill: int
    decode: bool
    context: int  # tokens of prompt and answer before this step


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
    read: int = 0  # tokens of its prompt so far


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


def total(model: Model, parts: Mapping[int, Work]) -> Amounts:
    """Of all that a step does."""
    each = [model.amounts(one) for one in parts.values()]
    return sum(a for a, _, _ in each), sum(b for _, b, _ in each), sum(c for _, _, c in each)


@dataclass(frozen=True)
class Step:
    """One step as it happened."""

    start_ns: int
    end_ns: int
    parts: Mapping[int, Work]  # by request


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
    steps: list[Step] = field(default_factory=list)


class Simulation:
    """Runs one cell: idle, warm-up, the measured set with filler behind it, drain, idle."""

    def __init__(
        self, model: Model, load: Load, tasks: list[tuple[str, int, int]], seed: int, start_ns: int
    ) -> None:
        self._model, self._load, self._tasks = model, load, tasks
        self._random = random.Random(seed)  # noqa: S311 - a simulation
        self._now = start_ns
        self._made = 0
        self._ended = 0  # of those that are measured
        self._requests: list[Request] = []
        self._segments: list[Segment] = []
        self._steps: list[Step] = []

    def run(self, *, idle_s: float = 2.0, warmup: int = 3) -> Trace:
        """The whole cell."""
        before = self._idle(idle_s)
        roles = ["warmup"] * warmup + ["measured"] * len(self._tasks)
        offers = self._arrivals(roles) if self._load.qps else None
        active: list[Request] = []
        waiting: list[Request] = []
        while True:
            filling = self._ended < len(self._tasks)
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
        return Trace(self._requests, self._segments, before, after, self._steps)

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
        model = self._model
        active.extend(waiting)
        waiting.clear()
        parts = self._parts(active)
        amounts = total(model, parts)
        seconds = model.seconds(amounts)
        start_ns = self._now
        self._advance(int(seconds * SECOND), model.idle_w + model.joules(amounts) / seconds)
        self._steps.append(Step(start_ns, self._now, parts))
        for request in list(active):
            if request.identity not in parts or not parts[request.identity].decode:
                continue
            request.token_ns.append(self._now)
            if len(request.token_ns) == request.output_tokens:
                request.end_ns = self._now
                self._ended += request.role == "measured"
                active.remove(request)

    def _parts(self, active: list[Request]) -> dict[int, Work]:
        """Everyone decodes a token; what is left of the step's tokens goes to prompts, in the order they came."""
        left = self._model.most_tokens
        if left is not None:
            left -= sum(request.read == request.prompt_tokens for request in active)
        parts = {}
        for request in active:
            rest = request.prompt_tokens - request.read
            now = rest if left is None else min(rest, max(left, 0))
            if rest and not now:
                continue
            context = request.read + len(request.token_ns)
            parts[request.identity] = Work(now, now == rest, context)
            request.read += now
            if left is not None:
                left -= now
        return parts

    def _idle(self, seconds: float) -> tuple[int, int]:
        start = self._now
        self._advance(int(seconds * SECOND), self._model.idle_w)
        return start, self._now

    def _advance(self, duration_ns: int, power_w: float) -> None:
        self._segments.append(Segment(self._now, self._now + duration_ns, power_w))
        self._now += duration_ns
