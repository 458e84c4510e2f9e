"""What is asked next: warm-up, then the measured set, then filler until the last measured request has ended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from configs.datasets import Task
from configs.schema import Open
from loadgen.arrivals import Arrivals
from loadgen.prompts import passes
from loadgen.spec import Duration, LoadSpec, Passes, Requests


@dataclass(frozen=True)
class Item:
    """One request to make. ``sample`` is the number of the pass over the prompts."""

    task: Task
    sample: int
    role: str


class Agenda:
    """Hands out requests in order. Times are nanoseconds since the load began."""

    def __init__(self, spec: LoadSpec, tasks: list[Task]) -> None:
        self._amount = spec.amount
        self._tasks = len(tasks)
        self._warmup_ns = round(spec.warmup_s * 1e9)
        key = (tasks, spec.seed, spec.block, spec.load.slug)
        self._other = {role: passes(*key, role) for role in ("warmup", "filler")}
        self._measured: Iterator[tuple[int, Task]] = passes(*key, "measured")
        self._arrivals = Arrivals.of(spec) if isinstance(spec.load, Open) else None
        self._planned = self._planned_ahead()
        self._handed_out = 0
        self._ended = 0
        self._first_ns: int | None = None

    def next(self, at_ns: int) -> Item | None:
        """The request that is due at ``at_ns``, or None when nothing more is to be offered."""
        if self._first_ns is None and at_ns < self._warmup_ns:
            return self._draw("warmup")
        if self._first_ns is None:
            self._first_ns = at_ns
        if self._measures_at(at_ns):
            sample, task = next(self._measured)
            self._handed_out += 1
            return Item(task, sample, "measured")
        return None if self._ended >= self._handed_out else self._draw("filler")

    def measured_ended(self) -> None:
        """A measured request has ended."""
        self._ended += 1

    @property
    def over(self) -> bool:
        """Whether every measured request was handed out and has ended."""
        return self._planned is not None and self._ended >= self._planned

    @property
    def progress(self) -> tuple[int, int | None]:
        """Measured requests that ended, and how many there will be (None while that depends on time)."""
        return self._ended, self._planned

    def _measures_at(self, at_ns: int) -> bool:
        assert self._first_ns is not None  # noqa: S101 -- set by next()
        elapsed_s = (at_ns - self._first_ns) * 1e-9
        if self._planned is not None:
            return self._handed_out < self._planned
        if isinstance(self._amount, Duration):
            more = elapsed_s < self._amount.seconds
        else:
            assert isinstance(self._amount, Passes)  # noqa: S101 -- Requests are planned ahead
            measure = self._amount.measure
            within_pass = self._handed_out % self._tasks != 0
            more = within_pass or self._handed_out < measure.passes * self._tasks or elapsed_s < measure.min_s
        if not more:
            self._planned = self._handed_out
        return more

    def _planned_ahead(self) -> int | None:
        """How many requests are measured, where that does not depend on how fast the server answers."""
        if isinstance(self._amount, Requests):
            return self._amount.requests
        if isinstance(self._amount, Passes) and self._arrivals is not None:
            measure = self._amount.measure
            offered = self._arrivals.within(measure.min_s)
            return self._tasks * max(measure.passes, math.ceil(offered / self._tasks))
        return None

    def _draw(self, role: str) -> Item:
        [(sample, task)] = islice(self._other[role], 1)
        return Item(task, sample, role)
