"""Runs the load generator as a process of its own: nothing else a runner does can then make it late."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loadgen.result import RESULTS, LoadResult
from loadgen.schedule import write_schedule
from loadgen.spec import LoadSpec
from starwatt_errors import LoadError

_STOP_S = 15.0
_LONGEST_ERROR = 2000


def run_load(
    spec: LoadSpec,
    out: Path,
    *,
    api_key: str | None = None,
    cpus: Sequence[int] | None = None,
    on_progress: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> LoadResult:
    """Drive ``spec`` and wait for its end. A KeyboardInterrupt here ends the load first, then goes on.

    Raises:
        LoadError: the endpoint cannot be reached, or the generator failed.
        UsageError: the trace file of the arrivals does not read.
    """
    environment = {**os.environ}
    environment.pop("STARWATT_API_KEY", None)
    if api_key:
        environment["STARWATT_API_KEY"] = api_key
    out.mkdir(parents=True, exist_ok=True)
    write_schedule(spec, out)
    with tempfile.TemporaryDirectory(prefix="starwatt-load-") as scratch:
        spec_file, errors = Path(scratch) / "load.json", Path(scratch) / "errors"
        spec_file.write_text(spec.model_dump_json(), encoding="utf-8")
        with errors.open("wb") as error_output:
            process = subprocess.Popen(
                [sys.executable, "-m", "loadgen", str(spec_file), str(out.resolve())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=error_output,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the runner alone, which then ends the load in order
            )
        try:
            if cpus is not None:
                _pin(process.pid, cpus)
            result = _follow(process, on_progress)
        finally:
            _end(process)
        if result is None:
            said = errors.read_text(errors="replace").strip()
            raise LoadError(said[-_LONGEST_ERROR:] if said else "the load generator ended without a result")
    return RESULTS.validate_python(result)


def _pin(pid: int, cpus: Sequence[int]) -> None:
    try:
        os.sched_setaffinity(pid, cpus)
    except OSError as error:
        raise LoadError(
            f"cpus.load: {list(cpus)}: {error.strerror}; it takes CPUs of this process: "
            f"{sorted(os.sched_getaffinity(0))}"
        ) from error


def _follow(
    process: subprocess.Popen[bytes], on_progress: Callable[[Mapping[str, Any]], None]
) -> dict[str, Any] | None:
    """Pass progress on until the result comes; None if it never does."""
    assert process.stdout is not None  # noqa: S101 -- started with a pipe
    result: dict[str, Any] | None = None
    for line in process.stdout:
        message = json.loads(line)
        if "progress" in message:
            on_progress(message["progress"])
        else:
            result = message["result"]
    return result


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the generator keep what it received, then make sure that it is gone."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
