"""Drive a load between two idle phases, with power recorded beside it: a cell, or a metered ``starwatt load``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from configs.phases import PhaseSettings
from loadgen.result import LoadResult
from starwatt_errors import MeterError
from study.measure.meter import OpenMeter, Recorded, sidecar_audit
from traces.cell import CellRecord, Phase, file_digests, write_cell
from traces.clock import boot_id, now_ns
from traces.layout import CellKey

_CHECK_S = 0.25


def metered(
    folder: Path,
    open_meter: OpenMeter,
    drive: Callable[[Callable[[], None]], LoadResult],
    settings: PhaseSettings | None,
    check: Callable[[], None],
    status: Callable[[str], None],
    lost: Callable[[MeterError], None] | None = None,
) -> tuple[LoadResult, Recorded]:
    """Stay idle, ``drive`` the load, and stay idle again; the phases of the result hold all of it.

    After a load that was interrupted nobody waits for the idle time behind it.

    Args:
        folder: where power is recorded.
        open_meter: starts recording.
        drive: drives the load; it calls what it is given several times a second, and ends where that raises.
        settings: how long the idle phases are; None: no power is recorded, and nobody waits.
        check: raises where the load must end, beside the meter's own check.
        status: shows what goes on.
        lost: takes what the meter raises, which ends nothing then; None: it ends the load.
    """
    recorded = Recorded()
    with open_meter(folder, recorded) as meter:

        def check_all() -> None:
            check()
            try:
                meter.check_alive()
            except MeterError as error:
                if lost is None:
                    raise
                lost(error)

        idle_before = idle_after = None
        if settings is not None:
            status("idle")
            meter.mark("idle_before")
            idle_before = stay_idle(settings.idle_s, check_all)
        meter.mark("load")
        outcome = drive(check_all)
        try:
            if settings is not None and not outcome.interrupted:
                status("idle")
                stay_idle(settings.rest_s, check_all)
                meter.mark("idle_after")
                idle_after = stay_idle(settings.idle_s, check_all)
        except KeyboardInterrupt:
            outcome = replace(outcome, interrupted=True)
    phases = outcome.phases.model_copy(update={"idle_before": idle_before, "idle_after": idle_after})
    return replace(outcome, phases=phases), recorded


def stay_idle(seconds: float, check: Callable[[], None]) -> Phase:
    """Wait with nothing in flight; ``check`` raises when engine or sidecar have died."""
    start_ns = now_ns()
    end_ns = start_ns + round(seconds * 1e9)
    while (left_ns := end_ns - now_ns()) > 0:
        check()
        time.sleep(min(_CHECK_S, left_ns * 1e-9))
    return Phase(start_ns=start_ns, end_ns=now_ns())


def record_cell(
    folder: Path, key: CellKey, outcome: LoadResult, recorded: Recorded, **more: Any
) -> CellRecord:
    """Write ``cell.json``, by which the cell counts; ``more`` are fields that neither load nor meter knows."""
    record = CellRecord(
        **asdict(key),
        boot_id=boot_id(),
        files=file_digests(folder),
        phases=outcome.phases,
        audit=outcome.audit.model_copy(update=sidecar_audit(recorded.summary)),
        errors=dict(outcome.errors),
        node=recorded.node,
        worker_clocks=list(outcome.clocks),
        power_clock=recorded.clock,
        **more,
    )
    write_cell(folder, record)
    return record
