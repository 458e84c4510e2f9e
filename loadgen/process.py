"""Runs the load generator as processes of its own: nothing else a runner does can then make it late."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from loadgen.crew import START_AHEAD_NS
from loadgen.merge import merge_results, merge_traces
from loadgen.planning.schedule import write_schedule
from loadgen.result import RESULTS, LoadResult
from loadgen.spec import LoadSpec
from starwatt_errors import LoadError
from traces.clock import now_ns
from traces.streams import has_trace

_STOP_S = 15.0
_SILENT_S = 120.0  # a worker says how far it is four times a second
_TICK_S = 0.5
_LONGEST_ERROR = 2000
_PHASES = ("warmup", "window", "drain", "ended")


class Watcher(Protocol):
    """Ends processes whose starter was killed."""

    def announcing(self) -> Callable[[], None]:
        """Return what a child calls between fork and exec."""

    def watch(self, pid: int) -> None:
        """Note that it has been started, and leads a session."""

    def forget(self, pid: int) -> None:
        """Note that it has ended."""


def run_load(  # noqa: PLR0913 -- all but two have defaults
    spec: LoadSpec,
    out: Path,
    *,
    api_key: str | None = None,
    cpus: Sequence[int] | None = None,
    on_progress: Callable[[Mapping[str, Any]], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    watcher: Watcher | None = None,
    hang_s: float | None = None,
    returns_on_interrupt: bool = False,
) -> LoadResult:
    """Drive ``spec`` and wait for its end. A KeyboardInterrupt here ends the load first, then is raised again.

    Several workers (``spec.workers``) write to ``out/worker-N`` while they run; at the end these are one trace in
    ``out``, as if one had written it.

    Args:
        spec: the load, with its prompts and its amount.
        out: the folder of its trace.
        api_key: goes to the workers by their environment.
        cpus: what the workers are pinned to; None: what this process may use.
        on_progress: hears where the load is.
        check: is called several times a second, and what it raises ends the load.
        watcher: hears of every process that is started.
        hang_s: how long the requests that count (all but filler) may get nothing.
        returns_on_interrupt: return what was measured, marked as interrupted, in place of going on with the interrupt.

    Raises:
        LoadError: the endpoint cannot be reached or hangs, or the generator failed or hung.
        UsageError: the trace file of the arrivals cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_schedule(spec, out)
    several = spec.workers > 1
    folders = [out / f"worker-{number}" for number in range(spec.workers)] if several else [out]
    with tempfile.TemporaryDirectory(prefix=".load-", dir=out) as scratch:  # a kill leaves it in the cell
        spec_file = Path(scratch) / "load.json"
        spec_file.write_text(spec.model_dump_json(), encoding="utf-8")
        foreman = _Foreman(on_progress, check, watcher, is_open=spec.load.kind == "open", hang_s=hang_s)
        try:
            for number, folder in enumerate(folders):
                worker = foreman.hire(number, spec_file, folder, api_key, heeds_us=several)
                if cpus is not None:
                    _pin(worker.process.pid, cpus)
            results = foreman.follow()
        except KeyboardInterrupt:
            if not returns_on_interrupt:
                raise
            results = foreman.interrupt()
        except LoadError:
            if not any(has_trace(folder, "requests") for folder in folders):
                (out / "schedule.parquet").unlink()  # nothing was asked: the folder is as it was
            raise
        finally:
            foreman.end()
            if several and all((folder / "requests.parquet").is_file() for folder in folders):
                measured = merge_traces(folders, out).measured
    return merge_results(results, measured, spec.load) if several else results[0]


@dataclass(frozen=True)
class _Worker:
    """One process of the load generator."""

    number: int
    process: subprocess.Popen[bytes]
    errors: Path

    def tell(self, line: str) -> None:
        """Write one line to its standard input; a worker that is gone is noticed by its silence."""
        assert self.process.stdin is not None  # noqa: S101 -- only several workers are told anything
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()

    def problem(self) -> str:
        """Say why it ended without a result."""
        said = self.errors.read_text(errors="replace").strip()
        return said[-_LONGEST_ERROR:] if said else "the load generator ended without a result"


class _Foreman:
    """Starts the workers of a load together, adds their progress up, and collects their results."""

    def __init__(
        self,
        on_progress: Callable[[Mapping[str, Any]], None],
        check: Callable[[], None],
        watcher: Watcher | None,
        *,
        is_open: bool,
        hang_s: float | None,
    ) -> None:
        self._check, self._watcher = check, watcher
        self._hang_s = hang_s
        self._workers: list[_Worker] = []
        self._listeners: list[threading.Thread] = []
        self._on_progress = on_progress
        self._is_open = is_open
        self._messages: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = queue.SimpleQueue()
        self._ready = self._measured_ended = 0
        self._progress: dict[int, dict[str, Any]] = {}
        self._results: dict[int, LoadResult] = {}

    def hire(
        self, number: int, spec_file: Path, folder: Path, api_key: str | None, *, heeds_us: bool
    ) -> _Worker:
        """Start a worker that writes to ``folder``."""
        environment = {**os.environ}
        environment.pop("STARWATT_API_KEY", None)
        if api_key:
            environment["STARWATT_API_KEY"] = api_key
        errors = spec_file.with_name(f"errors-{number}")
        with errors.open("wb") as error_output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "loadgen", str(spec_file), str(folder.resolve()), str(number)],
                stdin=subprocess.PIPE if heeds_us else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=error_output,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the runner alone, which then ends the load in order
                preexec_fn=None if self._watcher is None else self._watcher.announcing(),  # noqa: PLW1509
            )
        if self._watcher is not None:
            self._watcher.watch(process.pid)
        worker = _Worker(number, process, errors)
        self._workers.append(worker)
        self._listeners.append(threading.Thread(target=self._listen, args=(worker,), daemon=True))
        self._listeners[-1].start()
        return worker

    def follow(self) -> list[LoadResult]:
        """Return the result of every worker, in their order.

        Raises:
            LoadError: one ended without, or says nothing any more.
        """
        silent = 0
        heard_ns = {worker.number: now_ns() for worker in self._workers}
        while silent < len(self._workers):
            self._check()
            try:
                worker, message = self._messages.get(timeout=_TICK_S)
            except queue.Empty:
                if now_ns() - min(heard_ns.values()) > _SILENT_S * 1e9:
                    raise LoadError(f"the load generator has said nothing for {_SILENT_S:g} s") from None
                continue
            heard_ns[worker.number] = now_ns()
            if message is not None:
                self._heed(worker, message)
                continue
            silent += 1
            del heard_ns[worker.number]
            if worker.number not in self._results:
                worker.process.wait()
                raise LoadError(worker.problem())
        return [self._results[worker.number] for worker in self._workers]

    def interrupt(self) -> list[LoadResult]:
        """End the load; the result of every worker, of what it received.

        Raises:
            KeyboardInterrupt: one has none.
        """
        self.end()
        while not self._messages.empty():
            worker, message = self._messages.get()
            if message is not None and "result" in message:
                self._heed(worker, message)
        if len(self._results) < len(self._workers) or not self._workers:
            raise KeyboardInterrupt
        results = [self._results[worker.number] for worker in self._workers]
        return [replace(result, interrupted=True) for result in results]

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None  # noqa: S101 -- started with a pipe
        with worker.process.stdout as lines:
            for line in lines:
                self._messages.put((worker, json.loads(line)))
        self._messages.put((worker, None))

    def _heed(self, worker: _Worker, message: dict[str, Any]) -> None:
        if "progress" in message:
            self._progress[worker.number] = message["progress"]
            self._check_quiet(message["quiet_s"])
            if len(self._progress) == len(self._workers):
                self._on_progress(self._together())
        elif "ready" in message:
            self._ready += 1
            if self._ready == len(self._workers):
                self._tell_all(f"start {now_ns() + START_AHEAD_NS}")
        elif "measured_ended" in message:
            self._measured_ended += 1
            if self._measured_ended == len(self._workers):
                self._tell_all("over")
        else:
            result = RESULTS.validate_python(message["result"])
            self._results[worker.number] = result
            if result.interrupted:
                self._ask_to_end()

    def _check_quiet(self, quiet_s: float) -> None:
        if self._hang_s is not None and quiet_s > self._hang_s:
            raise LoadError(
                f"no request that counts has begun, got anything or ended for {self._hang_s:g} s "
                "(engine.hang_timeout_s): the engine is taken for hung"
            )

    def _tell_all(self, line: str) -> None:
        for worker in self._workers:
            worker.tell(line)

    def end(self) -> None:
        """Let every worker keep what it received, then make sure that it is gone."""
        self._ask_to_end()
        for worker in self._workers:
            try:
                worker.process.wait(timeout=_STOP_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            if worker.process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    worker.process.stdin.close()
            if self._watcher is not None:
                self._watcher.forget(worker.process.pid)
        for listener in self._listeners:
            listener.join()

    def _ask_to_end(self) -> None:
        for worker in self._workers:
            if worker.number not in self._results and worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)

    def _together(self) -> dict[str, Any]:
        """Sum all workers up: the furthest behind gives the phase; of an open load each knows how many are planned."""
        steps = list(self._progress.values())
        planned = [step["planned"] for step in steps if step["planned"] is not None]
        total = max(planned, default=0) if self._is_open else sum(planned)
        return {
            "phase": min((step["phase"] for step in steps), key=_PHASES.index),
            "in_flight": sum(step["in_flight"] for step in steps),
            "ended": sum(step["ended"] for step in steps),
            "planned": total if len(planned) == len(steps) else None,
        }


def _pin(pid: int, cpus: Sequence[int]) -> None:
    try:
        os.sched_setaffinity(pid, cpus)
    except OSError as error:
        raise LoadError(
            f"cpus.load: {list(cpus)}: {error.strerror}; it takes CPUs of this process: "
            f"{sorted(os.sched_getaffinity(0))}"
        ) from error
