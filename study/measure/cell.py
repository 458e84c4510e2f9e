"""Measures one cell: idle, warm-up, window, drain, idle again, with the sidecar and the scraper beside it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from configs.schema import Study
from loadgen.distributed import run_distributed
from loadgen.process import run_load
from loadgen.result import LoadResult
from loadgen.spec import LoadSpec, Passes
from server.engines.engine_metrics import EngineScraper
from server.process.guard import GUARD
from starwatt_errors import LoadError, RunError, alike
from study.measure.dither import dither_s
from study.measure.first_requests import FirstRequests
from study.measure.meter import OpenMeter, Recorded, sidecar_audit
from study.plan.arrivals import as_kept
from study.plan.cells import PlannedCell
from study.records.run_id import known_run_id
from traces.cell import CellRecord, CoolStart, Phase, Served, file_digests, write_cell
from traces.clock import boot_id, now_ns
from traces.layout import RunDir

_CHECK_S = 0.25


class Serving(Protocol):
    """What is measured: an engine that was started here, or one that runs elsewhere."""

    @property
    def url(self) -> str:
        """The endpoint, without ``/v1``."""

    @property
    def served(self) -> Served:
        """What it serves with."""

    def check_alive(self, when: str) -> None:
        """Raise EngineError where it has died."""


@dataclass(frozen=True)
class Bench:
    """What all cells of one engine start share."""

    run: RunDir
    study: Study
    engine: Serving
    model: str
    """The name that requests use."""
    open_meter: OpenMeter
    log: Path | None
    """What the engine printed, where it printed here."""
    api_key: str | None
    load_cpus: tuple[int, ...] | None
    announce: Callable[[str], None]
    lengths: Mapping[str, int] | None = None
    """Tokens of each task's answer, where the study forces recorded ones."""
    known_reasons: tuple[str, ...] = ()
    """Reason codes that hold for every cell, such as ``sandbox_missing``."""
    cool_start: CoolStart | None = None


def measure_cell(bench: Bench, cell: PlannedCell) -> CellRecord:
    """Measure ``cell`` and write its folder; ``cell.json`` comes last.

    Raises:
        EngineError: the engine died; the cell does not count.
        LoadError: the load failed, gave up, or its requests have all failed, or the first of them alike.
        RunError: the load was ended from outside.
    """
    folder = bench.run.cell(cell.key)
    if folder.exists():
        shutil.rmtree(folder)  # an earlier try that was not finished
    study, engine = bench.study, bench.engine
    recorded, first = Recorded(), FirstRequests(folder)
    with EngineScraper(engine.url, folder) as scraper, bench.open_meter(folder, recorded) as meter:

        def check() -> None:
            engine.check_alive(f"during {cell.key}")
            meter.check_alive()
            scraper.check(study.engine.hang_timeout_s)
            first.check()

        meter.mark("idle_before")
        idle_before = stay_idle(study.phases.idle_s, check)
        meter.mark("load")
        outcome = _load(bench, cell, check)
        if outcome.interrupted:
            raise RunError("the load was ended from outside; run the same command again to resume")
        check()  # an engine that has died is the better reason
        first.check_all()
        if outcome.gave_up:
            raise LoadError(
                f"the load stopped before its end: {outcome.gave_up}", cause=alike(outcome.gave_up)
            )
        bench.announce("idle")
        stay_idle(study.phases.rest_s, check)
        meter.mark("idle_after")
        idle_after = stay_idle(study.phases.idle_s, check)
    engine.check_alive(f"during {cell.key}")
    if bench.log is not None:
        shutil.copyfile(bench.log, folder / "engine.log")
    phases = outcome.phases.model_copy(update={"idle_before": idle_before, "idle_after": idle_after})
    audit = outcome.audit.model_copy(update=sidecar_audit(recorded.summary))
    record = CellRecord(
        model=cell.key.model,
        variant=cell.key.variant,
        load=cell.key.load,
        block=cell.key.block,
        boot_id=boot_id(),
        run_id=known_run_id(bench.run),
        files=file_digests(folder),
        engine_start=cell.engine_start if engine.served.url is None else None,
        cool_start=bench.cool_start,
        phases=phases,
        served=engine.served,
        audit=audit,
        errors=dict(outcome.errors),
        validity=list(bench.known_reasons),
        node=recorded.node,
        worker_clocks=list(outcome.clocks),
        power_clock=recorded.clock,
    )
    write_cell(folder, record)
    return record


def settle(engine: Serving, rest_s: float) -> None:
    """Let an engine come to rest that has just been loaded."""
    time.sleep(rest_s)
    engine.check_alive("after it was loaded")


def _load(bench: Bench, cell: PlannedCell, check: Callable[[], None]) -> LoadResult:
    study = bench.study
    spec = LoadSpec(
        url=bench.engine.url,
        model=bench.model,
        load=as_kept(cell.load, bench.run),
        prompts=cell.prompts,
        lengths=None if bench.lengths is None else dict(bench.lengths),
        continuous_usage=counts_chunks(study, cell.key.variant),
        dialect="transformers" if bench.engine.served.engine == "transformers" else "openai",
        amount=Passes(measure=cell.measure),
        warmup_s=study.phases.warmup_s,
        warmup_requests=study.phases.warmup_requests,
        drain_s=study.phases.drain_s,
        dither_s=dither_s(bench.run, cell.load),
        seed=study.seed,
        block=cell.key.block,
    )
    if study.generator != "own":
        bench.announce(f"load by {study.generator.workers} Locust workers")
        return run_distributed(spec, bench.run.cell(cell.key), study.generator, check=check)
    return run_load(
        spec,
        bench.run.cell(cell.key),
        api_key=bench.api_key,
        cpus=bench.load_cpus,
        on_progress=lambda progress: bench.announce(
            _words(progress["phase"], progress["ended"], progress["planned"])
        ),
        check=check,
        watcher=GUARD,
        hang_s=study.engine.hang_timeout_s,
    )


def counts_chunks(study: Study, variant: str) -> bool:
    """Whether the engine of a variant is asked for the tokens of each chunk: of those elsewhere the study says."""
    named = study.remote.get(variant)
    return named is None or named.continuous_usage


def _words(phase: str, ended: int, planned: int | None) -> str:
    if phase != "window":
        return phase
    return f"measuring {ended}/{planned}" if planned is not None else f"measuring {ended}"


def stay_idle(seconds: float, check: Callable[[], None]) -> Phase:
    """Wait with nothing in flight; ``check`` raises when engine or sidecar have died."""
    start_ns = now_ns()
    end_ns = start_ns + round(seconds * 1e9)
    while (left_ns := end_ns - now_ns()) > 0:
        check()
        time.sleep(min(_CHECK_S, left_ns * 1e-9))
    return Phase(start_ns=start_ns, end_ns=now_ns())
