"""Drives one load on one endpoint and writes ``requests.parquet`` as it goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.datasets import load_dataset
from configs.loads import Closed, Open
from loadgen.agenda import Agenda, Item
from loadgen.arrivals import Arrivals
from loadgen.audit import LoopWatch, Measured, audit_of
from loadgen.clients import client_for
from loadgen.crew import Alone, Crew
from loadgen.exchange import Exchange
from loadgen.payload import Endpoint, request_bytes
from loadgen.prompts import choose_tasks
from loadgen.result import LoadResult
from loadgen.rows import row_of
from loadgen.spec import LoadSpec
from loadgen.timer import DueTimer
from starwatt_errors import LoadError
from traces.cell import Phase, Phases
from traces.clock import now_ns
from traces.streams import TraceWriter

_OPENED_AHEAD = 64
_PROGRESS_S = 0.25
_AFTER_A_REFUSAL_S = 0.1  # a closed load must not turn a dead server into a busy loop


@dataclass(frozen=True)
class Progress:
    """Where a load is."""

    phase: str
    in_flight: int
    ended: int
    planned: int | None


class Replay:
    """One load, once."""

    def __init__(self, spec: LoadSpec, out: Path, api_key: str | None, crew: Crew | None = None) -> None:
        endpoint = Endpoint.parse(spec.url)
        dataset = load_dataset(spec.prompts.dataset)
        tasks = choose_tasks(dataset, spec.prompts.tasks, spec.seed)
        self._spec = spec
        self._endpoint = endpoint
        self._requests = {task.task_id: request_bytes(endpoint, spec, task, api_key) for task in tasks}
        self._crew = crew or Alone()
        self._agenda = Agenda(spec, tasks, self._crew.number)
        self._client_name, self._client = client_for(spec)
        self._out = out
        self._tasks: set[asyncio.Task[str]] = set()
        self._next_id = 0
        self._errors: dict[str, int] = {}
        self._measured: list[Measured] = []
        capped = spec.load.max_in_flight if isinstance(spec.load, Open) else None
        self._places = None if capped is None else asyncio.Semaphore(capped)
        self._ahead_ns = self._client.ahead_ns if capped is None else 0  # a place is taken when it is due
        self._over = asyncio.Event()
        self._phase = "warmup"
        self._start_ns = 0

    async def run(self, report: Callable[[Progress], None], stop: asyncio.Event) -> LoadResult:
        """Warm up, measure, fill until the last measured request has ended, drain.

        ``stop`` ends it early: what is in flight is cut off, and everything received so far is kept.

        Raises:
            LoadError: the endpoint cannot be reached at all.
        """
        try:
            return await self._run(report, stop)
        finally:
            await self._client.close()

    async def _run(self, report: Callable[[Progress], None], stop: asyncio.Event) -> LoadResult:
        await self._open_connections()
        with TraceWriter(self._out, "requests") as writer, contextlib.closing(DueTimer()) as timer:
            self._writer, self._timer = writer, timer
            self._start_ns = await self._crew.start_ns()
            async with LoopWatch() as watch:
                reporter = asyncio.create_task(self._report(report))
                offering = asyncio.create_task(self._offer())
                stopping = asyncio.create_task(stop.wait())
                over = asyncio.create_task(self._all_over())
                await asyncio.wait({offering, stopping, over}, return_when=asyncio.FIRST_COMPLETED)
                if offering.done():
                    offering.result()  # an error of ours must not pass for the end of the load
                await _cancel(offering, over)
                if not stop.is_set():
                    await self._drain(stopping)
                await _cancel(stopping, reporter, *self._tasks)
        report(Progress("ended", 0, *self._agenda.progress))
        phases = self._phases(now_ns())
        audit = audit_of(self._measured, phases, watch, self._spec.load)
        audit = audit.model_copy(
            update={"client": self._client_name, "connections_opened_late": self._client.opened_late}
        )
        return LoadResult(phases, audit, self._errors, interrupted=stop.is_set())

    async def _open_connections(self) -> None:
        wanted = _OPENED_AHEAD if isinstance(self._spec.load, Open) else self._slots
        try:
            await self._client.open_ahead(wanted)
        except OSError as error:
            raise LoadError(f"{self._spec.url} cannot be reached: {error}") from error

    async def _offer(self) -> None:
        """Offer requests until the agenda is through."""
        if isinstance(self._spec.load, Open):
            await self._offer_on_schedule()
            return
        await self._timer.until(self._start_ns)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._slots):
                group.create_task(self._slot())

    @property
    def _slots(self) -> int:
        """This worker's places of a closed load."""
        places = self._spec.load.concurrency if isinstance(self._spec.load, Closed) else 1
        return len(range(self._crew.number, places, self._spec.workers))

    async def _slot(self) -> None:
        """One place of a closed load: the next request is due when the place falls free."""
        free_ns = now_ns()
        while (item := self._next(free_ns - self._start_ns)) is not None:
            sending = self._start(item, free_ns)
            await asyncio.wait({sending})
            if sending.result() == "connection_error":
                await asyncio.sleep(_AFTER_A_REFUSAL_S)
            free_ns = now_ns()

    async def _offer_on_schedule(self) -> None:
        """Requests at absolute times; nothing caps what is in flight."""
        for position, offset_ns in enumerate(Arrivals.of(self._spec).offsets_ns()):
            if position % self._spec.workers != self._crew.number:
                item = self._next(offset_ns)
                if item is not None:
                    self._agenda.is_of_another(item)
                continue
            due_ns = self._start_ns + offset_ns
            if due_ns - now_ns() > self._ahead_ns:
                await self._timer.until(due_ns - self._ahead_ns // 2)  # then for all of the next half as well
            item = self._next(offset_ns)
            if item is None:
                return
            self._start(item, due_ns)

    def _next(self, at_ns: int) -> Item | None:
        item = self._agenda.next(at_ns)
        if self._agenda.over:  # said here too: a worker's share may be empty, or end by time
            self._over.set()
        return item

    async def _all_over(self) -> None:
        """Wait until the measured requests of every worker have ended."""
        await self._over.wait()
        await self._crew.all_measured_ended()
        self._agenda.release()

    def _start(self, item: Item, scheduled_ns: int) -> asyncio.Task[str]:
        request_id, self._next_id = self._next_id, self._next_id + 1
        if item.role == "measured":
            self._phase = "window"
        task = asyncio.create_task(self._one(request_id, item, scheduled_ns))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _one(self, request_id: int, item: Item, scheduled_ns: int) -> str:
        """Make one request and keep its row; returns the row's status."""
        exchange = Exchange(due_ns=scheduled_ns)
        try:
            if self._places is None:
                await self._client.complete(self._requests[item.task.task_id], exchange)
            else:
                await self._complete_in_a_place(item, exchange, self._places)
        finally:
            if exchange.end_ns >= scheduled_ns:  # else it was withdrawn before it was due
                self._keep(request_id, item, scheduled_ns, exchange)
        return exchange.status

    async def _complete_in_a_place(self, item: Item, exchange: Exchange, places: asyncio.Semaphore) -> None:
        """Wait until less than ``max_in_flight`` are; they are served in the order in which they fell due."""
        try:
            await places.acquire()
        except asyncio.CancelledError:
            exchange.end_ns = exchange.sent_ns = now_ns()
            exchange.error = "cut off at the end of the load, while it waited for a place"
            raise
        exchange.due_ns = max(exchange.due_ns, now_ns())
        try:
            await self._client.complete(self._requests[item.task.task_id], exchange)
        finally:
            places.release()

    def _keep(self, request_id: int, item: Item, scheduled_ns: int, exchange: Exchange) -> None:
        row = row_of(request_id, item, scheduled_ns, exchange)
        if row["status"] != "ok":
            self._errors[row["status"]] = self._errors.get(row["status"], 0) + 1
        if item.role == "measured":
            self._measured.append(Measured(scheduled_ns, exchange.due_ns, exchange.sent_ns, row["end_ns"]))
            self._agenda.measured_ended()
            if self._agenda.over:
                self._over.set()
        self._writer.append(row)

    async def _drain(self, stopping: asyncio.Task[bool]) -> None:
        """Give what is in flight time to end."""
        self._phase = "drain"
        if self._tasks:
            waiting: set[asyncio.Task[Any]] = {asyncio.create_task(_all_ended(self._tasks)), stopping}
            await asyncio.wait(waiting, timeout=self._spec.drain_s, return_when=asyncio.FIRST_COMPLETED)

    def _phases(self, drain_end_ns: int) -> Phases:
        if not self._measured:
            return Phases(warmup=Phase(start_ns=self._start_ns, end_ns=drain_end_ns))
        window_start_ns = min(request.sent_ns for request in self._measured)
        window_end_ns = max(request.end_ns for request in self._measured)
        return Phases(
            warmup=Phase(start_ns=self._start_ns, end_ns=window_start_ns),
            window=Phase(start_ns=window_start_ns, end_ns=window_end_ns),
            drain=Phase(start_ns=window_end_ns, end_ns=max(window_end_ns, drain_end_ns)),
        )

    async def _report(self, report: Callable[[Progress], None]) -> None:
        while True:
            report(Progress(self._phase, len(self._tasks), *self._agenda.progress))
            self._writer.flush()  # a second at once would hold the loop up
            await asyncio.sleep(_PROGRESS_S)


async def _all_ended(tasks: set[asyncio.Task[str]]) -> None:
    await asyncio.wait(set(tasks))


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
