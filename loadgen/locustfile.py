"""The same prompts and the same kinds of load from Locust, alone or with a master and workers.

    locust -f loadgen/locustfile.py --host http://127.0.0.1:8000 --model M --qps 8 --requests 100 --out DIR
    ... --headless          without the web page
    ... --master            and on each machine: ... --worker --master-host HOST

The options of the load are those of ``starwatt load``; a master's hold for its workers. Locust's own number of users
means nothing here: how many requests are in flight follows from the load. Each process writes ``DIR/worker-N`` and
sends it to the master, which merges all into ``DIR/requests.parquet``, on its own clock: the offsets of the others'
are measured before and after (``DIR/clocks.json``).
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from locust import User, events, runners, task
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadgen.merge import merge_traces
from loadgen.planning.payload import checked_key
from loadgen.planning.schedule import write_schedule
from loadgen.spec import LoadSpec
from loadgen.swarm.clocks import Clocks, tell_clock
from loadgen.swarm.driver import Driver
from loadgen.swarm.options import add_options, spec_of
from starwatt_errors import StarwattError, UsageError
from traces.atomic import write_json
from traces.clock import boot_id, now_ns
from traces.remote import PowerClock
from traces.streams import has_trace

_LOG = logging.getLogger("starwatt")
_SHARE, _ENDED, _OVER, _WRITTEN = (
    f"starwatt_{name}" for name in ("share", "measured_ended", "over", "written")
)
_WATCH_S = 1.0
runners.HEARTBEAT_LIVENESS = 10
"""Seconds for which a worker may say nothing (Locust's own: 3; no option sets it).

One that decodes many answers, or is on a busy machine, is not gone, and what it has recorded would be lost with it."""
_START_AHEAD_NS = 500_000_000
"""From the shares to the load's beginning, by the master's clock: every worker has begun to wait for it."""


class Load(User):
    """Stands for the load on Locust's pages; the requests are those of the schedule."""

    @task
    def wait(self) -> None:
        """Stay until the load is over."""
        gevent.sleep(1)


class Lead:
    """The master, or the only process: deals out the shares, and ends the test when the load is over."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._folders: list[Path] = []
        self._clients: list[str] = []
        self._before: list[PowerClock] = []
        self._awaited = {_ENDED: 0, _WRITTEN: 0}
        environment.events.test_start.add_listener(self._deal)
        environment.events.quit.add_listener(lambda **_: self._merge())
        self._clocks = Clocks(environment.runner) if isinstance(environment.runner, MasterRunner) else None
        environment.runner.register_message(_ENDED, self._heed)
        environment.runner.register_message(_WRITTEN, self._heed)

    def _deal(self, **_: Any) -> None:
        runner, options = self._environment.runner, self._environment.parsed_options
        clients = (
            [client.id for client in runner.clients.ready] if isinstance(runner, MasterRunner) else ["alone"]
        )
        try:
            spec = spec_of(options, self._environment.host, len(clients))
            out = Path(options.out)
            if options.spec is None and out.exists() and any(out.iterdir()):
                raise UsageError(f"--out {out} is not empty: take a new folder")
            if options.spec is None:
                write_schedule(spec, out)
            self._clients = clients[: spec.workers]
            if self._clocks is not None:
                self._before = [self._clocks.measure(client) for client in self._clients]
        except StarwattError as error:
            _LOG.error("%s", error)
            self._environment.process_exit_code = error.exit_code
            gevent.spawn(self._end_test)
            return
        self._folders = [out / f"worker-{number}" for number in range(spec.workers)]
        self._awaited = {_ENDED: spec.workers, _WRITTEN: spec.workers}
        if isinstance(runner, MasterRunner):
            gevent.spawn(self._watch, runner)
        share: dict[str, Any] = {"spec": spec.model_dump_json(), "of_a_study": options.spec is not None}
        if self._clocks is None:
            runner.send_message(_SHARE, {**share, "number": 0, "start_ns": None})
            return
        start_ns = now_ns() + _START_AHEAD_NS
        for number, (client, clock) in enumerate(zip(self._clients, self._before, strict=True)):
            theirs = {"number": number, "start_ns": start_ns + clock.start.offset_ns}
            runner.send_message(_SHARE, {**share, **theirs}, client)

    def _watch(self, runner: MasterRunner) -> None:
        """End the test where a worker is gone that has not written its trace: nobody else would notice."""
        while self._awaited[_WRITTEN]:
            gevent.sleep(_WATCH_S)
            there = {client.id for client in runner.clients.values() if client.state != STATE_MISSING}
            if self._awaited[_WRITTEN] and not there.issuperset(self._clients):
                _LOG.error("a worker is gone, and what it recorded with it")
                self._environment.process_exit_code = StarwattError.exit_code
                self._end_test()
                return

    def _heed(self, msg: Any, **_: Any) -> None:
        if msg.type == _WRITTEN and msg.data:
            self._keep(**msg.data)
        self._awaited[msg.type] -= 1
        if self._awaited[msg.type]:
            return
        if msg.type == _ENDED:
            self._environment.runner.send_message(_OVER)
        else:
            gevent.spawn(self._finish)

    def _keep(self, number: int, trace: bytes) -> None:
        """The trace of a worker, where it was not written to a folder that is this machine's too."""
        path = self._folders[number] / "requests.parquet"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(trace)

    def _finish(self) -> None:
        if self._clocks is not None:
            try:
                after = [self._clocks.measure(client).start for client in self._clients]
            except StarwattError as error:
                _LOG.warning("%s", error)
            else:
                both = zip(self._before, after, strict=True)
                self._before = [clock.model_copy(update={"end": end}) for clock, end in both]
        self._merge()
        self._end_test()

    def _end_test(self) -> None:
        """Headless, Locust ends; with its web page it waits for the next test."""
        if self._environment.web_ui is None:
            self._environment.runner.quit()
        else:
            self._environment.runner.stop()

    def _merge(self) -> None:
        folders, self._folders = self._folders, []
        if folders and all((folder / "requests.parquet").is_file() for folder in folders):
            clocks = self._before or None
            rows = merge_traces(folders, folders[0].parent, clocks).rows
            if clocks:
                told = [clock.model_dump(mode="json") for clock in clocks]
                write_json(folders[0].parent / "clocks.json", {"boot_id": boot_id(), "workers": told})
            _LOG.info("%d requests: %s", rows, folders[0].parent / "requests.parquet")
        elif any(has_trace(folder, "requests") for folder in folders):
            _LOG.warning("not every worker's trace is here: python -m loadgen.merge %s", folders[0].parent)


class Member:
    """A worker, or the only process: drives its share."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._api_key = checked_key(os.environ.get("STARWATT_API_KEY"), "STARWATT_API_KEY")
        self._share: dict[str, Any] | None = None
        self._of_a_study = False
        self._driver: Driver | None = None
        if isinstance(environment.runner, WorkerRunner):
            tell_clock(environment.runner)
        environment.runner.register_message(_SHARE, self._take)
        environment.runner.register_message(_OVER, self._end)
        environment.events.test_start.add_listener(self._start)
        environment.events.test_stop.add_listener(self._stop)

    def _take(self, msg: Any, **_: Any) -> None:
        self._share = msg.data

    def _start(self, **_: Any) -> None:
        share, self._share = self._share, None
        if share is None:
            return
        spec = LoadSpec.model_validate_json(share["spec"])
        if share["number"] >= spec.workers:  # more processes than requests in flight
            return
        self._of_a_study = share["of_a_study"]
        # A study's folder is its own machine's: what a worker records for it is sent there.
        out = (
            tempfile.mkdtemp(prefix="starwatt-load-")
            if share["of_a_study"]
            else self._environment.parsed_options.out
        )
        self._driver = Driver(
            spec,
            share["number"],
            Path(out) / f"worker-{share['number']}",
            self._api_key,
            self._count,
            share["start_ns"],
        )
        gevent.spawn(self._driver.run)
        gevent.spawn(self._tell, self._driver, share)

    def _tell(self, driver: Driver, share: dict[str, Any]) -> None:
        runner = self._environment.runner
        driver.measured_ended.wait()
        runner.send_message(_ENDED)
        driver.written.wait()
        if isinstance(runner, WorkerRunner):
            trace = (driver.folder / "requests.parquet").read_bytes()
            runner.send_message(_WRITTEN, {"number": share["number"], "trace": trace})
        else:
            runner.send_message(_WRITTEN)
        if share["of_a_study"]:
            shutil.rmtree(driver.folder.parent, ignore_errors=True)

    def _end(self, **_: Any) -> None:
        if self._driver is not None:
            self._driver.end(at_once=False)

    def _stop(self, **_: Any) -> None:
        if self._driver is not None:
            self._driver.end(at_once=True)
            self._driver.written.wait()
            if self._of_a_study:
                shutil.rmtree(self._driver.folder.parent, ignore_errors=True)

    def _count(self, row: dict[str, Any]) -> None:
        """One request in Locust's own figures: milliseconds from its scheduled time to its end."""
        self._environment.events.request.fire(
            request_type="POST",
            name="/v1/completions",
            response_time=(row["end_ns"] - row["scheduled_ns"]) * 1e-6,
            response_length=len(row["completion"].encode()),
            exception=None if row["status"] == "ok" else RuntimeError(f"{row['status']}: {row['error']}"),
            context={"role": row["role"]},
        )


def _join(environment: Any, **_: Any) -> None:
    roles: list[Callable[[Any], object]] = []
    if not isinstance(environment.runner, WorkerRunner):
        roles.append(Lead)
    if not isinstance(environment.runner, MasterRunner):
        roles.append(Member)
    try:
        for role in roles:
            role(environment)
    except UsageError as error:
        _LOG.error("%s", error)
        sys.exit(error.exit_code)


events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(_join)  # type: ignore[no-untyped-call]
