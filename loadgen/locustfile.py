"""The same prompts and the same kinds of load from Locust, alone or with a master and workers.

    locust -f loadgen/locustfile.py --host http://127.0.0.1:8000 --model M --qps 8 --requests 100 --out DIR
    ... --headless          without the web page
    ... --master            and on each machine: ... --worker --master-host HOST

The options of the load are those of ``starwatt load``; a master's hold for its workers. Locust's own number of users
means nothing here: how many requests are in flight follows from the load. Each process writes ``DIR/worker-N``; where
the master finds these, it merges them into ``DIR/requests.parquet``. Where workers are other machines, copy their
folders there and run ``python -m loadgen.merge DIR``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from locust import User, events, task
from locust.runners import MasterRunner, WorkerRunner
from pydantic import ValidationError

from loadgen.locust_driver import Driver
from loadgen.merge import merge_traces
from loadgen.schedule import write_schedule
from loadgen.spec import LoadSpec
from starwatt_errors import StarwattError, UsageError
from traces.streams import has_trace

_LOG = logging.getLogger("starwatt")
_DRAIN_S = 60.0
_SHARE, _ENDED, _OVER, _WRITTEN = (
    f"starwatt_{name}" for name in ("share", "measured_ended", "over", "written")
)
_OPTIONS: tuple[tuple[str, type, Any, str], ...] = (
    ("model", str, None, "The name that the endpoint serves"),
    ("concurrency", int, None, "Requests in flight"),
    ("qps", float, None, "Requests a second, whatever the server does"),
    ("arrivals", str, None, "With --qps: constant or poisson"),
    ("trace", str, None, "In place of --qps: a CSV file of arrivals, one offset in seconds a line"),
    ("duration", float, None, "Seconds of measured requests"),
    ("requests", int, None, "Number of measured requests"),
    ("warmup", float, 0.0, "Seconds of the same load before"),
    ("dataset", str, "starwatt-24", "The prompts: starwatt-24 or humaneval+"),
    ("max-tokens", int, 512, "The longest answer"),
    ("seed", int, 20, "Draws order and arrivals"),
    ("out", str, None, "A new folder for the trace"),
)


class Load(User):
    """Stands for the load on Locust's pages; the requests are those of the schedule."""

    @task
    def wait(self) -> None:
        """Stay until the load is over."""
        gevent.sleep(1)


def add_options(parser: Any) -> None:
    """The options of ``starwatt load``; its --url is Locust's --host."""
    group = parser.add_argument_group("starwatt")
    for name, kind, default, words in _OPTIONS:
        group.add_argument(f"--{name}", type=kind, default=default, help=words)
    group.add_argument("--single-stream", action="store_true", help="One request at a time")
    group.add_argument("--ignore-eos", action="store_true", help="Every answer has max-tokens tokens")


def spec_of(options: Any, host: str | None, workers: int = 1) -> LoadSpec:
    """The load that Locust's options ask for, shared by at most so many processes.

    Raises:
        UsageError: an option is missing or wrong, or two contradict each other.
    """
    given = {name: value for name, value in vars(options).items() if value not in (None, "")}
    if not host or "model" not in given or "out" not in given:
        raise UsageError("takes --host, --model and --out")
    load: dict[str, Any] = {"kind": "single_stream"}
    if "concurrency" in given:
        load = {"kind": "closed", "concurrency": given["concurrency"]}
    elif "qps" in given or "trace" in given:
        load = {
            "kind": "open",
            **{name: given[name] for name in ("qps", "arrivals", "trace") if name in given},
        }
    if [bool(given.get("single_stream")), "concurrency" in given, "qps" in given or "trace" in given].count(
        True
    ) != 1:
        raise UsageError("takes one of --single-stream, --concurrency N, --qps R, --trace FILE")
    if ("duration" in given) == ("requests" in given):
        raise UsageError("takes one of --duration S, --requests N")
    amount = (
        {"kind": "requests", "requests": given["requests"]}
        if "requests" in given
        else {"kind": "duration", "seconds": given["duration"]}
    )
    most = 1 if load["kind"] == "single_stream" else int(load.get("concurrency", workers))
    fields = {
        "url": host,
        "model": given["model"],
        "load": load,
        "amount": amount,
        "prompts": {
            "dataset": given["dataset"],
            "max_tokens": given["max_tokens"],
            "output": {"fixed": given["max_tokens"]} if given.get("ignore_eos") else "natural",
        },
        "warmup_s": given["warmup"],
        "drain_s": _DRAIN_S,
        "seed": given["seed"],
        "block": 1,
        "workers": min(workers, most),
    }
    try:
        return LoadSpec.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error


class Lead:
    """The master, or the only process: deals out the shares, and ends the test when the load is over."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._folders: list[Path] = []
        self._awaited = {_ENDED: 0, _WRITTEN: 0}
        environment.events.test_start.add_listener(self._deal)
        environment.events.quit.add_listener(lambda **_: self._merge())
        environment.runner.register_message(_ENDED, self._heed)
        environment.runner.register_message(_WRITTEN, self._heed)

    def _deal(self, **_: Any) -> None:
        runner, options = self._environment.runner, self._environment.parsed_options
        clients = [one.id for one in runner.clients.ready] if isinstance(runner, MasterRunner) else [None]
        try:
            spec = spec_of(options, self._environment.host, len(clients))
            out = Path(options.out)
            if out.exists() and any(out.iterdir()):
                raise UsageError(f"--out {out} is not empty: take a new folder")
            write_schedule(spec, out)
        except StarwattError as error:
            _LOG.error("%s", error)
            self._environment.process_exit_code = error.exit_code
            gevent.spawn(self._end_test)
            return
        self._folders = [out / f"worker-{number}" for number in range(spec.workers)]
        self._awaited = {_ENDED: spec.workers, _WRITTEN: spec.workers}
        for number, client in enumerate(clients):
            runner.send_message(_SHARE, {"number": number, "count": len(clients)}, client)

    def _heed(self, msg: Any, **_: Any) -> None:
        self._awaited[msg.type] -= 1
        if self._awaited[msg.type]:
            return
        if msg.type == _ENDED:
            self._environment.runner.send_message(_OVER)
        else:
            gevent.spawn(self._finish)

    def _finish(self) -> None:
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
            rows = merge_traces(folders, folders[0].parent).num_rows
            _LOG.info("%d requests: %s", rows, folders[0].parent / "requests.parquet")
        elif any(has_trace(folder, "requests") for folder in folders):
            _LOG.warning("not every worker's trace is here: python -m loadgen.merge %s", folders[0].parent)


class Member:
    """A worker, or the only process: drives its share."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._share: dict[str, int] | None = None
        self._driver: Driver | None = None
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
        options = self._environment.parsed_options
        spec = spec_of(options, self._environment.host, share["count"])
        if share["number"] >= spec.workers:  # more processes than requests in flight
            return
        self._driver = Driver(
            spec,
            share["number"],
            Path(options.out) / f"worker-{share['number']}",
            os.environ.get("STARWATT_API_KEY") or None,
            self._count,
        )
        gevent.spawn(self._driver.run)
        gevent.spawn(self._tell, self._driver)

    def _tell(self, driver: Driver) -> None:
        driver.measured_ended.wait()
        self._environment.runner.send_message(_ENDED)
        driver.written.wait()
        self._environment.runner.send_message(_WRITTEN)

    def _end(self, **_: Any) -> None:
        if self._driver is not None:
            self._driver.end(at_once=False)

    def _stop(self, **_: Any) -> None:
        if self._driver is not None:
            self._driver.end(at_once=True)
            self._driver.written.wait()

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
    for role in roles:
        role(environment)


events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(_join)  # type: ignore[no-untyped-call]
