"""A load by Locust's workers on several machines: starts the master, and reads what it gathered."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc

from configs.loads import Closed, Locust, Open, SingleStream
from loadgen.audit import LoopWatch, audit_of, measured_in, phases_of
from loadgen.planning.failures import NOT_SENT
from loadgen.planning.schedule import write_schedule
from loadgen.result import LoadResult
from loadgen.spec import LoadSpec, Passes
from starwatt_errors import LoadError
from traces.atomic import read_json
from traces.cell import Phases
from traces.pieces import Trace, open_trace
from traces.remote import PowerClock

_LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_STOP_S = 30.0
_CHECK_S = 0.25
_LONGEST_ERROR = 2000


def shared_by(spec: LoadSpec, workers: int) -> int:
    """Return how many of these workers can drive a load: one, where only one process can know what comes next."""
    load = spec.load
    if isinstance(load, SingleStream) or (isinstance(load, Open) and load.max_in_flight is not None):
        return 1
    if not isinstance(load, Closed):
        return workers
    alone = isinstance(spec.amount, Passes) and spec.amount.measure.min_s > 0
    return 1 if alone else min(workers, load.concurrency)


def run_distributed(
    spec: LoadSpec, out: Path, settings: Locust, *, check: Callable[[], None] = lambda: None
) -> LoadResult:
    """Drive ``spec`` by Locust's workers and wait for its end; ``out/requests.parquet`` is on this machine's clock.

    The workers' key is that of their own environment. ``check`` is called several times a second, and what it raises
    ends the load.

    Raises:
        LoadError: they did not come, or Locust failed.
        UsageError: the trace file of the arrivals cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    spec = spec.model_copy(update={"workers": shared_by(spec, settings.workers)})
    write_schedule(spec, out)
    with tempfile.TemporaryDirectory(prefix="starwatt-load-") as scratch:
        spec_file, said = Path(scratch) / "load.json", Path(scratch) / "said"
        spec_file.write_text(spec.model_dump_json(), encoding="utf-8")
        with said.open("wb") as output:
            master = subprocess.Popen(
                _command(spec, spec_file, out, settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the runner alone, which then ends the load in order
                preexec_fn=_end_with_us,  # noqa: PLW1509 -- one system call, no Python lock is taken
            )
        try:
            while (code := master.poll()) is None:
                check()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    master.wait(timeout=_CHECK_S)
        except BaseException:
            _stop(master)
            raise
        if code or not (out / "requests.parquet").is_file():
            words = said.read_text(errors="replace").strip()[-_LONGEST_ERROR:]
            raise LoadError(f"Locust's master ended with exit code {code}; it last said:\n{words}")
    clocks = [PowerClock.model_validate(clock) for clock in read_json(out / "clocks.json")["workers"]]
    (out / "clocks.json").unlink()
    return _result(spec, open_trace(out, "requests"), tuple(clocks))


def _command(spec: LoadSpec, spec_file: Path, out: Path, settings: Locust) -> list[str]:
    return [
        sys.executable, "-P", "-m", "locust", "-f", str(_LOCUSTFILE),
        "--master", "--headless", "--only-summary", "--loglevel", "WARNING",
        "--master-bind-host", settings.bind,
        "--master-bind-port", str(settings.port),
        "--expect-workers", str(settings.workers),
        "--expect-workers-max-wait", str(settings.wait_s),
        "--exit-code-on-error", "0",  # requests that fail are rows with their reason
        "--host", spec.url,
        "--spec", str(spec_file),
        "--out", str(out.resolve()),
    ]  # fmt: skip


def _end_with_us() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(master: subprocess.Popen[bytes]) -> None:
    master.send_signal(signal.SIGINT)
    try:
        master.wait(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(master.pid, signal.SIGKILL)
        master.wait()


def _result(spec: LoadSpec, requests: Trace, clocks: tuple[PowerClock, ...]) -> LoadResult:
    """Phases and audit from the requests themselves; what the workers took of their CPUs is not known here."""
    measured = measured_in(requests)
    errors: Counter[str] = Counter()
    for piece in requests.pieces(["status"]):
        errors.update(status for status in piece.column("status").to_pylist() if status != "ok")
    times = requests.read(["scheduled_ns", "end_ns"])
    start_ns, end_ns = (pc.min_max(times.column(name)).as_py() for name in ("scheduled_ns", "end_ns"))
    phases = phases_of(start_ns["min"], measured, end_ns["max"]) if len(measured) else Phases()
    audit = audit_of(measured, phases, LoopWatch(), spec.load).model_copy(
        update={"cpu_share": None, "loop_lag_max_ms": None, "client": "locust"}
    )
    gave_up = _why_given_up(requests)
    return LoadResult(phases, audit, dict(errors), interrupted=False, gave_up=gave_up, clocks=clocks)


def _why_given_up(requests: Trace) -> str | None:
    """Find what a worker said of the requests that it did not make any more."""
    for piece in requests.pieces(["error"]):
        unsent = piece.filter(pc.starts_with(piece.column("error"), NOT_SENT)).column("error")
        if len(unsent):
            return str(unsent[0]).removeprefix(NOT_SENT)
    return None
