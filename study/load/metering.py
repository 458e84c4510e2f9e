"""Power beside a load test: idle, the load, idle again, recorded on this machine or by a service on another."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configs.meters import Meters
from configs.schema import Phases as PhaseSettings
from loadgen.payload import checked_key, shown_url
from loadgen.result import LoadResult
from server.power.client import without_credentials
from server.power.listen import TOKEN_VARIABLE
from server.power.meters import choose_sources
from server.power.remote import RemoteMeter
from server.power.sidecar import Sidecar
from starwatt_errors import MeterError, UsageError
from study.measure.meter import server_pid, sidecar_audit
from study.progress.display import tell
from traces.cell import Audit, Phase, Phases
from traces.clock import now_ns
from traces.remote import PowerClock

_IDLE_S = 3.0
_POLL_S = 0.5
_REST_S = PhaseSettings().rest_s


@dataclass(frozen=True)
class Metered:
    """A load that was driven while power was recorded."""

    outcome: LoadResult
    phases: Phases
    audit: Audit
    clock: PowerClock | None = None
    """Of the host that recorded power, where that is another one."""
    host: Mapping[str, Any] | None = None
    marks: Sequence[Mapping[str, Any]] = ()
    problem: str | None = None
    boards: tuple[str, ...] = ()
    """UUIDs of this machine's GPUs that were read."""


def metered_here(
    url: str, folder: Path, drive: Callable[[], LoadResult], announce: Callable[[str], None]
) -> Metered:
    """Record this machine's power while ``drive`` runs; a record that fails on the way costs no request.

    Raises:
        MeterError: no meter answers, and the server is no process of this machine.
    """
    pid = server_pid(url)
    if pid is None and choose_sources(Meters()) == ["modelled"]:
        raise MeterError(
            f"--meter local: no power meter answers here, and no process of this machine listens at {shown_url(url)} "
            "from whose CPU time power could be estimated"
        )
    problem = None
    with Sidecar.start(folder, Meters(), engine_pid=pid) as sidecar:
        for words in sidecar.left_out:
            tell(f"left out: {words}")
        with _told_at_once(sidecar.check_alive):
            outcome, phases = _between_idles(drive, announce)
        try:
            sidecar.stop()
        except MeterError as error:
            problem = str(error)
    audit = outcome.audit.model_copy(update=sidecar_audit(sidecar.summary))
    boards = tuple(device["name"] for device in sidecar.devices if device["source"] == "nvml")
    return Metered(outcome, phases, audit, problem=problem, boards=boards)


def metered_there(
    url: str, folder: Path, drive: Callable[[], LoadResult], announce: Callable[[str], None]
) -> Metered:
    """Have the service at ``url`` record its host's power while ``drive`` runs here.

    Raises:
        UsageError: there is no token for it that a header can carry, or ``url`` is none.
        MeterError: it does not answer at the start, or refuses.
    """
    token = checked_key(os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE)
    if url.startswith(("http://", "https://")) and not token:
        raise UsageError(
            f"--meter {without_credentials(url)}: set {TOKEN_VARIABLE} to the token of that service"
        )
    announce("measuring the clock's offset")
    with RemoteMeter.start(url, token or "", folder) as meter, _told_at_once(meter.check_alive):
        outcome, phases = _between_idles(drive, announce, meter.mark)
    audit = outcome.audit.model_copy(update=sidecar_audit(meter.summary))
    return Metered(outcome, phases, audit, meter.clock, meter.host, meter.marks, meter.problem)


@contextmanager
def _told_at_once(check: Callable[[], None]) -> Iterator[None]:
    """Say when ``check`` raises: whoever wants joules need not wait for the end of a load that will have none."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_POLL_S):
            try:
                check()
            except MeterError as error:
                tell(f"power is not recorded any more: {error}")
                return

    thread = threading.Thread(target=watch, name="meter-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _between_idles(
    drive: Callable[[], LoadResult],
    announce: Callable[[str], None],
    mark: Callable[[str], None] = lambda _: None,
) -> tuple[LoadResult, Phases]:
    """Who interrupts the load does not wait for the idle time behind it."""
    idle_before = _idle(announce, mark, "idle_before")
    mark("load")
    outcome = drive()
    idle_after = None
    if not outcome.interrupted:
        try:
            idle_after = _idle(announce, mark, "idle_after")
        except KeyboardInterrupt:
            outcome = replace(outcome, interrupted=True)
    return outcome, outcome.phases.model_copy(update={"idle_before": idle_before, "idle_after": idle_after})


def _idle(announce: Callable[[str], None], mark: Callable[[str], None], phase: str) -> Phase:
    announce("idle")
    time.sleep(_REST_S)
    mark(phase)
    start_ns = now_ns()
    time.sleep(_IDLE_S)
    return Phase(start_ns=start_ns, end_ns=now_ns())
