"""Drives one load on one endpoint and writes ``requests.parquet`` as it goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from configs.addresses import shown_url
from configs.loads import Closed, Open
from loadgen.audit import LoopWatch, MeasuredTimes, audit_of, phases_of
from loadgen.clients.choice import Client, client_for
from loadgen.clients.exchange import CUT_OFF, Exchange
from loadgen.clients.timer import DueTimer
from loadgen.crew import Alone, Crew
from loadgen.movement import Movement
from loadgen.planning.agenda import Agenda, Item, asked_by
from loadgen.planning.arrivals import Arrivals
from loadgen.planning.dither import PassStarts
from loadgen.planning.failures import NOT_SENT, Failures
from loadgen.planning.payload import Endpoint
from loadgen.planning.requests import requests_of
from loadgen.result import LoadResult
from loadgen.rows import row_of
from loadgen.spec import LoadSpec
from starwatt_errors import LoadError, StarwattError, reason_of
from traces.clock import now_ns
from traces.streams import TraceWriter

_PROGRESS_S = 0.25
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Progress:
    """Say how far a load is."""

    phase: str
    in_flight: int
    ended: int
    planned: int | None


@dataclass(slots=True)
class _Request:
    """One request from its hand-out to its row."""

    number: int
    item: Item
    scheduled_ns: int
    exchange: Exchange
    row: Mapping[str, Any] | None = None


class Replay:
    """One load, once."""

    def __init__(
        self,
        spec: LoadSpec,
        out: Path,
        api_key: str | None,
        crew: Crew | None = None,
        client: tuple[str, Client] | None = None,
    ) -> None:
        """``client``: a client and its name, where it is not the one that ``spec`` asks for."""
        endpoint = Endpoint.parse(spec.url, spec.endpoint)
        asked = asked_by(spec)
        self._spec = spec
        self._endpoint = endpoint
        self._requests = requests_of(endpoint, spec, asked, api_key)
        self._crew = crew or Alone()
        self._agenda = Agenda(spec, asked, self._crew.number)
        self._client_name, self._client = client or client_for(spec)
        self._out = out
        self._tasks: set[asyncio.Task[None]] = set()
        self._movement = Movement(self._client.look)
        self._next_id = 0
        self._errors: dict[str, int] = {}
        self._measured = MeasuredTimes()
        self._failures = Failures(self._slots)
        capped = spec.load.max_in_flight if isinstance(spec.load, Open) else None
        self._passes = PassStarts.of(spec)
        self._places = None if capped is None else asyncio.Semaphore(capped)
        self._ahead_ns = self._client.ahead_ns if capped is None else 0  # a place is taken when it is due
        self._over = asyncio.Event()
        self._all_offered = asyncio.Event()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._phase = "warmup"
        self._start_ns = self._last_due_ns = 0

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
        await self._reach()
        with TraceWriter(self._out, "requests") as writer, contextlib.closing(DueTimer()) as timer:
            self._writer, self._timer = writer, timer
            await self._open_the_others()
            self._start_ns = await self._crew.start_ns()
            async with LoopWatch() as watch:
                await self._until_over(report, stop)
            await self._client.close()  # before the trace is completed: that takes a descriptor
        report(Progress("ended", 0, *self._agenda.progress))
        measured = self._measured.all_ns
        phases = phases_of(self._start_ns, measured, now_ns())
        audit = audit_of(measured, phases, watch, self._spec.load)
        audit = audit.model_copy(
            update={
                "client": self._client_name,
                "connections_opened_late": self._client.opened_late,
                "connections_open_most": self._client.open_most,
                "resent": self._client.resent,
            }
        )
        return LoadResult(phases, audit, self._errors, stop.is_set(), self._failures.gave_up)

    async def _until_over(self, report: Callable[[Progress], None], stop: asyncio.Event) -> None:
        """Offer requests until the load is over, or is to end; every one that fell due has its row then."""
        reporter, offering = asyncio.create_task(self._report(report)), asyncio.create_task(self._offer())
        stopping, bound = asyncio.create_task(stop.wait()), asyncio.create_task(self._bound())
        over = asyncio.create_task(self._all_over())
        ends: set[asyncio.Future[Any]] = {offering, stopping, over, reporter, self._broken}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in (offering, reporter, self._broken):
                if task.done():
                    task.result()  # an error of ours must not pass for the end of the load
            await _cancel(offering, over)
            if not stop.is_set():
                await self._drain(stopping)
        finally:
            await _cancel(stopping, bound, over, offering, reporter, *self._tasks)
            while self._tasks:  # cancelled, and their rows are about to be written
                await asyncio.sleep(0)
        if self._broken.done():
            self._broken.result()

    async def _reach(self) -> None:
        try:
            await self._client.open_ahead(1)
        except OSError as error:
            raise LoadError(f"{shown_url(self._spec.url)} cannot be reached: {reason_of(error)}") from error

    async def _open_the_others(self) -> None:
        """Open a closed load's other connections, for its places are filled at once; an open one opens as it goes."""
        if not isinstance(self._spec.load, Open) and self._slots > 1:
            with contextlib.suppress(OSError):  # requests that find no connection say so
                await self._client.open_ahead(self._slots - 1)

    @property
    def quiet_s(self) -> float:
        """Say how long no warm-up or measured request has begun, got anything or ended, while there are some."""
        return self._movement.quiet_s

    async def _offer(self) -> None:
        """Offer requests until the agenda is through."""
        if isinstance(self._spec.load, Open):
            await self._offer_on_schedule()
            return
        await self._timer.until(self._start_ns)
        async with asyncio.TaskGroup() as group:
            for place in range(self._slots):
                group.create_task(self._slot(place))

    @property
    def _slots(self) -> int:
        """This worker's places of a closed load."""
        places = self._spec.load.concurrency if isinstance(self._spec.load, Closed) else 1
        return len(range(self._crew.number, places, self._spec.workers))

    async def _slot(self, place: int) -> None:
        """One place of a closed load: the next request is due when the place falls free."""
        free_ns = now_ns()
        while (item := self._next(free_ns - self._start_ns)) is not None:
            if pause_s := self._passes.wait_s(place, item.sample, free_ns - self._start_ns):
                await self._rest(pause_s)
                free_ns = now_ns()
            request, sending = self._start(item, free_ns)
            await asyncio.wait({sending})
            if request.row is None:  # withdrawn
                return
            status, error = request.row["status"], request.row["error"]
            wait_s = self._failures.after(place, status, error, request.exchange.retry_after)
            if self._failures.gave_up is not None:
                await self._give_up(self._failures.gave_up)
                return
            if wait_s:
                await self._rest(wait_s)
            free_ns = now_ns()

    async def _rest(self, seconds: float) -> None:
        """Wait, but not longer than the load lasts."""
        left_s = self._agenda.time_left_s(now_ns() - self._start_ns)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(min(seconds, left_s), 0.0)):
                await self._over.wait()

    async def _give_up(self, reason: str) -> None:
        """End the load: what was still to be measured has a row each that says why it was never sent."""
        for count, item in enumerate(self._agenda.abandon()):
            at_ns = now_ns()
            exchange = Exchange(due_ns=at_ns, sent_ns=at_ns, end_ns=at_ns, error=NOT_SENT + reason)
            self._keep(self._numbered(item, at_ns, exchange))
            if count % _ROWS_AT_ONCE == _ROWS_AT_ONCE - 1:
                await asyncio.sleep(0)
        self._over.set()

    async def _offer_on_schedule(self) -> None:
        """Requests at absolute times; nothing caps what is in flight."""
        for position, offset_ns in enumerate(Arrivals.of(self._spec).offsets_ns()):
            self._agenda.none_due_before(offset_ns)
            self._note_what_is_left()
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
        if item is not None and item.role == "measured":
            self._last_due_ns = self._start_ns + at_ns
        self._note_what_is_left()
        return item

    def _note_what_is_left(self) -> None:
        if self._agenda.all_handed_out:
            self._all_offered.set()
        if self._agenda.over:  # said here too: a worker's share may be empty, or end by time
            self._over.set()

    async def _all_over(self) -> None:
        """Wait until the measured requests of every worker have ended."""
        await self._over.wait()
        await self._crew.all_measured_ended()
        self._agenda.release()

    async def _bound(self) -> None:
        """End the load when no measured request can still be under way, whatever was counted."""
        await self._all_offered.wait()
        most = self._spec.load.max_in_flight if isinstance(self._spec.load, Open) else None
        rounds = 1 if most is None else 1 + len(self._tasks) // most
        longest_ns = round((rounds * self._spec.request_timeout_s + self._spec.drain_s) * 1e9)
        await asyncio.sleep(max(self._last_due_ns + longest_ns - now_ns(), 0) * 1e-9)
        self._over.set()

    def _start(self, item: Item, scheduled_ns: int) -> tuple[_Request, asyncio.Task[None]]:
        request = self._numbered(item, scheduled_ns, Exchange(due_ns=scheduled_ns))
        if item.role == "measured":
            self._phase = "window"
        if item.role != "filler":
            self._movement.begun(request.number, request.exchange)
        task = asyncio.create_task(self._send(item, request.exchange))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, request))
        return request, task

    def _numbered(self, item: Item, scheduled_ns: int, exchange: Exchange) -> _Request:
        number, self._next_id = self._next_id, self._next_id + 1
        return _Request(number, item, scheduled_ns, exchange)

    async def _send(self, item: Item, exchange: Exchange) -> None:
        """Wait for a place where there are only so many, which are given in the order of the schedule; then send."""
        content = self._requests.of(item)
        if self._places is None:
            await self._client.complete(content, exchange)
            return
        try:
            await self._places.acquire()
        except asyncio.CancelledError:
            exchange.error = f"{CUT_OFF}, while it waited for a place"
            raise
        exchange.due_ns = max(exchange.due_ns, now_ns())
        try:
            await self._client.complete(content, exchange)
        finally:
            self._places.release()

    def _ended(self, request: _Request, task: asyncio.Task[None]) -> None:
        """Keep the row of a request that has ended, however it did; one withdrawn before it was due has none."""
        exchange = request.exchange
        problem = None if task.cancelled() else task.exception()
        try:
            if task.cancelled() and now_ns() < request.scheduled_ns:
                return
            if not exchange.end_ns:  # cut off before it began, or by an error of ours
                exchange.end_ns = exchange.sent_ns = now_ns()
                exchange.error = exchange.error or CUT_OFF
            self._keep(request)
        except StarwattError as error:  # the trace cannot be written
            problem = error
        finally:
            self._tasks.discard(task)
            self._movement.ended(request.number)
            if problem is not None and not self._broken.done():
                self._broken.set_exception(problem)

    def _keep(self, request: _Request) -> None:
        item, exchange = request.item, request.exchange
        request.row = row = row_of(request.number, item, request.scheduled_ns, exchange, self._spec.endpoint)
        if row["status"] != "ok":
            self._errors[row["status"]] = self._errors.get(row["status"], 0) + 1
        if item.role == "measured":
            self._measured.add(
                scheduled_ns=request.scheduled_ns, due_ns=exchange.due_ns, sent_ns=exchange.sent_ns,
                end_ns=row["end_ns"],
            )  # fmt: skip
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

    async def _report(self, report: Callable[[Progress], None]) -> None:
        while True:
            report(Progress(self._phase, len(self._tasks), *self._agenda.progress))
            self._writer.flush()  # a second at once would hold the loop up
            await asyncio.sleep(_PROGRESS_S)


async def _all_ended(tasks: set[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(set(tasks))


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel, and wait until all have ended; what they raise is for who looks at them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
