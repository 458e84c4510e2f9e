"""Decide what is asked next: warm-up, then the measured set, then filler until the last measured request has ended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from configs.datasets import Task, load_dataset
from configs.loads import Closed, Open
from loadgen.planning.arrivals import Arrivals
from loadgen.planning.prompts import choose_tasks, passes
from loadgen.planning.recorded import RecordedRequest, in_recorded_order, requests_in, with_lengths
from loadgen.spec import Duration, LoadSpec, Passes, Requests

_ROLES = ("warmup", "measured", "filler")
_TIMERS_S = 0.002
"""How early an event loop's timer may be."""


@dataclass(frozen=True)
class Item:
    """One request to make. ``sample`` is the number of the pass over the prompts."""

    task: Task | RecordedRequest
    sample: int
    role: str


Asked = list[Task] | list[RecordedRequest]
"""What a load asks: the tasks of a data set, or the requests of a recording with lengths."""


def asked_by(spec: LoadSpec) -> Asked:
    """Return what a load asks.

    Raises:
        UsageError: its data set, or its trace, cannot be read.
    """
    recording = with_lengths(spec.load)
    if recording is not None:
        return requests_in(recording)
    return choose_tasks(load_dataset(spec.prompts.dataset), spec.prompts.tasks, spec.seed)


class Agenda:
    """Hands out requests in order. Times are nanoseconds since the load began.

    Where a load has several workers: of an open load each one's agenda hands out every request, and the worker
    passes over those of the others (``is_of_another``); of a closed load it hands out every n-th of each role.
    """

    def __init__(self, spec: LoadSpec, tasks: Asked, worker: int = 0) -> None:
        self._amount = spec.amount
        self._released = spec.workers == 1
        self._tasks = len(tasks)
        self._warmup_ns = round(spec.warmup_s * 1e9)
        self._warmed = 0
        self._arrivals = Arrivals.of(spec) if isinstance(spec.load, Open) else None
        share = slice(worker, None, spec.workers) if self._arrivals is None else slice(None)
        wanted = None if self._arrivals is not None else spec.warmup_requests
        places = spec.load.concurrency if isinstance(spec.load, Closed) else 1
        self._warmups = None if wanted is None else len(range(max(wanted, places))[share])
        self._drawn = {
            role: islice(drawing, share.start, None, share.step)
            for role, drawing in _drawings(spec, tasks, self._arrivals, self._warmup_ns).items()
        }
        planned = self._planned_ahead()
        self._planned = None if planned is None else len(range(planned)[share])
        self._handed_out = 0
        self._of_others = 0
        self._ended = 0
        self._first_ns: int | None = None

    def next(self, at_ns: int) -> Item | None:
        """Return the request that is due at ``at_ns``, or None when nothing more is to be offered."""
        if self._first_ns is None and self._warms_at(at_ns):
            self._warmed += 1
            return self._draw("warmup")
        if self._first_ns is None:
            self._first_ns = at_ns
        if self._measures_at(at_ns):
            self._handed_out += 1
            return self._draw("measured")
        return None if self.finished else self._draw("filler")

    def none_due_before(self, at_ns: int) -> None:
        """Note that the next request is due at ``at_ns``: where time says how many are measured, it may say so now."""
        if self._first_ns is not None and self._planned is None:
            self._measures_at(at_ns)

    def measured_ended(self) -> None:
        """Note that a measured request has ended."""
        self._ended += 1

    def is_of_another(self, item: Item) -> None:
        """Note that a request that was handed out is another worker's: nothing of it is waited for here."""
        if item.role == "measured":
            self._of_others += 1
            self._ended += 1

    def release(self) -> None:
        """Note that the measured requests of all workers have ended: no more filler."""
        self._released = True

    def abandon(self) -> Iterator[Item]:
        """Yield the measured requests that are planned and were not handed out; by a duration, none beyond now."""
        if self._planned is None:
            least = self._amount.measure.passes if isinstance(self._amount, Passes) else 0
            self._planned = max(least * self._tasks, self._handed_out)
        while self._handed_out < self._planned:
            self._handed_out += 1
            yield self._draw("measured")

    def time_left_s(self, at_ns: int) -> float:
        """Return the seconds until the time of warm-up or of what is measured is over; infinite where none is."""
        if self._first_ns is None and self._warmups is None and self._warmup_ns > at_ns:
            return (self._warmup_ns - at_ns) * 1e-9 + _TIMERS_S
        if self._first_ns is not None and isinstance(self._amount, Duration) and self._planned is None:
            return self._amount.seconds - (at_ns - self._first_ns) * 1e-9 + _TIMERS_S
        return math.inf

    @property
    def all_handed_out(self) -> bool:
        """Say whether no more measured requests are to come."""
        return self._planned is not None and self._handed_out >= self._planned

    @property
    def over(self) -> bool:
        """Say whether every measured request of this worker was handed out and has ended."""
        return self._planned is not None and self._ended >= self._planned

    @property
    def finished(self) -> bool:
        """Say whether nothing more is to be offered."""
        return self.over and self._released

    @property
    def progress(self) -> tuple[int, int | None]:
        """Count the measured requests that ended, and how many there will be (None while that depends on time)."""
        return self._ended - self._of_others, self._planned

    def _warms_at(self, at_ns: int) -> bool:
        return at_ns < self._warmup_ns if self._warmups is None else self._warmed < self._warmups

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
        """Say how many requests are measured, where that does not depend on how fast the server answers."""
        if isinstance(self._amount, Requests):
            return self._amount.requests
        if isinstance(self._amount, Passes):
            measure = self._amount.measure
            if measure.min_s == 0:
                return self._tasks * measure.passes
            if self._arrivals is not None:
                offered = self._arrivals.within(measure.min_s)
                return self._tasks * max(measure.passes, math.ceil(offered / self._tasks))
        return None

    def _draw(self, role: str) -> Item:
        sample, task = next(self._drawn[role])
        return Item(task, sample, role)


def _drawings(
    spec: LoadSpec, asked: Asked, arrivals: Arrivals | None, warmup_ns: int
) -> dict[str, Iterator[tuple[int, Task | RecordedRequest]]]:
    """(Pass, what is asked) by role: tasks are drawn for each, recorded requests come to all in the order of times."""
    recording = with_lengths(spec.load)
    if recording is None or arrivals is None:
        key = (asked, spec.seed, spec.block, spec.load.slug)
        return {role: passes(*key, role) for role in _ROLES}
    recorded = [request for request in asked if isinstance(request, RecordedRequest)]
    in_order = in_recorded_order(recorded, recording.offsets_ns, warmup_ns)
    return dict.fromkeys(_ROLES, in_order)
