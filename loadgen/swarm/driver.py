"""One Locust process's share of a load, on gevent: the agenda, rows and trace of ``loadgen/replay.py``.

Imported by ``loadgen/locustfile.py`` alone, since Locust patches the standard library.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Group

from configs.loads import Closed, Open
from loadgen.clients.exchange import Exchange
from loadgen.planning.agenda import Agenda, Item, asked_by
from loadgen.planning.arrivals import Arrivals
from loadgen.planning.failures import NOT_SENT, Failures
from loadgen.planning.payload import Endpoint
from loadgen.planning.requests import requests_of
from loadgen.rows import row_of
from loadgen.spec import LoadSpec
from loadgen.swarm.gevent_client import GeventClient
from traces.clock import now_ns
from traces.streams import TraceWriter

_ROWS_AT_ONCE = 1000


class Driver:
    """Offers one process's share of a load and writes its rows to ``folder``."""

    def __init__(
        self,
        spec: LoadSpec,
        number: int,
        folder: Path,
        api_key: str | None,
        on_request: Callable[[dict[str, Any]], None],
        start_ns: int | None = None,
    ) -> None:
        """``start_ns``: when to begin, in ns of CLOCK_MONOTONIC; None: when it is run."""
        endpoint = Endpoint.parse(spec.url, spec.endpoint)
        asked = asked_by(spec)
        self._spec = spec
        self._number = number
        self.folder = folder
        self._begin_ns = start_ns
        self._on_request = on_request
        self._requests = requests_of(endpoint, spec, asked, api_key)
        self._agenda = Agenda(spec, asked, number)
        places = spec.load.concurrency if isinstance(spec.load, Closed) else 1
        self._places = range(number, places, spec.workers)
        self._failures = Failures(len(self._places))
        self._bound: gevent.Greenlet | None = None
        self._client = GeventClient(endpoint, timeout_s=spec.request_timeout_s)
        self._sending = Group()
        self._next_id = 0
        self._stopped = False
        self._over = Event()
        self.measured_ended = Event()
        self.written = Event()

    def run(self) -> None:
        """Offer until ``end`` is called, drain, and write the trace."""
        with TraceWriter(self.folder, "requests") as self._writer:
            if self._begin_ns is not None:
                gevent.sleep(max(self._begin_ns - now_ns(), 0) * 1e-9)
            self._start_ns = now_ns()
            offering = Group()
            if isinstance(self._spec.load, Open):
                offering.spawn(self._offer_on_schedule)
            else:
                for place in self._places:
                    offering.spawn(self._place, place)
            self._over.wait()
            offering.kill()
            if self._bound is not None:
                self._bound.kill()
            gevent.sleep(0)  # what was handed out begins, and so has its row
            self._sending.join(timeout=0 if self._stopped else self._spec.drain_s)
            self._sending.kill()
        self._client.close()
        self.written.set()

    def end(self, *, at_once: bool) -> None:
        """Offer no more requests; what is in flight is drained, or cut off ``at_once``."""
        self._stopped = self._stopped or at_once
        self._agenda.release()
        self._over.set()

    def _place(self, place: int) -> None:
        """One place of a closed load: the next request is due when the place falls free."""
        free_ns = now_ns()
        while (item := self._next(free_ns - self._start_ns)) is not None:
            sending = self._send(item, free_ns)
            sending.join()
            row, retry_after = sending.value
            wait_s = self._failures.after(place, row["status"], row["error"], retry_after)
            if self._failures.gave_up is not None:
                self._give_up(self._failures.gave_up)
                return
            if wait_s:
                left_s = self._agenda.time_left_s(now_ns() - self._start_ns)
                self.measured_ended.wait(timeout=max(min(wait_s, left_s), 0.0))
            free_ns = now_ns()

    def _give_up(self, reason: str) -> None:
        """Write a row for each request that was still to be measured, which says why it was never sent."""
        for count, item in enumerate(self._agenda.abandon(), 1):
            at_ns = now_ns()
            exchange = Exchange(due_ns=at_ns, sent_ns=at_ns, end_ns=at_ns, error=NOT_SENT + reason)
            self._keep(self._numbered(), item, at_ns, exchange)
            if count % _ROWS_AT_ONCE == 0:
                gevent.sleep(0)
        self.measured_ended.set()

    def _offer_on_schedule(self) -> None:
        """Requests at absolute times, each in a greenlet of its own: none waits for another."""
        for position, offset_ns in enumerate(Arrivals.of(self._spec).offsets_ns()):
            mine = position % self._spec.workers == self._number
            self._agenda.none_due_before(offset_ns)
            self._note_what_is_left(now_ns() - self._start_ns)
            while mine and (remaining_ns := self._start_ns + offset_ns - now_ns()) > 0:
                gevent.sleep(remaining_ns * 1e-9)
            item = self._next(offset_ns)
            if item is None:
                return
            if mine:
                self._send(item, self._start_ns + offset_ns)
            else:
                self._agenda.is_of_another(item)

    def _next(self, at_ns: int) -> Item | None:
        item = self._agenda.next(at_ns)
        self._note_what_is_left(at_ns)
        return item

    def _note_what_is_left(self, at_ns: int) -> None:
        """Bound the load from ``at_ns`` on, once its last measured request is due."""
        if self._agenda.all_handed_out and self._bound is None:
            longest_s = self._spec.request_timeout_s + self._spec.drain_s
            due_in_s = max(self._start_ns + at_ns - now_ns(), 0) * 1e-9
            self._bound = gevent.spawn_later(due_in_s + longest_s, self.measured_ended.set)
        self._note_whether_over()

    def _note_whether_over(self) -> None:
        if self._agenda.over:
            self.measured_ended.set()

    def _numbered(self) -> int:
        number, self._next_id = self._next_id, self._next_id + 1
        return number

    def _send(self, item: Item, scheduled_ns: int) -> gevent.Greenlet:
        return self._sending.spawn(self._one, self._numbered(), item, scheduled_ns)

    def _one(self, request_id: int, item: Item, scheduled_ns: int) -> tuple[dict[str, Any], str | None]:
        """Make one request; its row, and when the server wants to be asked again."""
        exchange = Exchange()
        try:
            self._client.complete(self._requests.of(item), exchange)
        finally:
            row = self._keep(request_id, item, scheduled_ns, exchange)
        return row, exchange.retry_after

    def _keep(self, request_id: int, item: Item, scheduled_ns: int, exchange: Exchange) -> dict[str, Any]:
        row = row_of(request_id, item, scheduled_ns, exchange, self._spec.endpoint)
        self._writer.append(row)
        if item.role == "measured":
            self._agenda.measured_ended()
            self._note_whether_over()
        self._on_request(row)
        return row
