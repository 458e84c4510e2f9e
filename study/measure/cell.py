"""Measure one cell: idle, warm-up, window, drain, idle again, with the sidecar and the scraper beside it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from configs.loads import Load
from configs.phases import PhaseSettings
from configs.schema import Study
from loadgen.process import run_load
from loadgen.result import LoadResult
from loadgen.spec import LoadSpec, Passes
from loadgen.swarm.distributed import run_distributed
from server.engines.engine_metrics import EngineScraper
from server.process.guard import GUARD
from starwatt_errors import LoadError, MeterError, RunError, alike
from study.measure.dither import dither_s
from study.measure.first_requests import FirstRequests
from study.measure.meter import OpenMeter, Recorded
from study.measure.metered import metered, record_cell
from study.measure.wording import with_wording
from study.plan.arrivals import as_kept
from study.plan.cells import PlannedCell
from study.plan.prompts import codes_of
from study.records.run_id import known_run_id
from traces.board import BoardHeld
from traces.cell import CellRecord, CoolStart, Served
from traces.layout import RunDir


class Serving(Protocol):
    """Serve what is measured: an engine that was started here, or one that runs elsewhere."""

    @property
    def url(self) -> str:
        """Return the endpoint, without ``/v1``."""

    @property
    def served(self) -> Served:
        """Return what it serves with."""

    def check_alive(self, when: str) -> None:
        """Raise EngineError where it has died."""


@dataclass(frozen=True)
class CellSetup:
    """Hold what all cells of one engine start share."""

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
    status: Callable[[str], None]
    """Shows what goes on, which goes by."""
    log_line: Callable[[str], None] = lambda _: None
    """Writes a line that stays."""
    lengths: Mapping[str, int] | None = None
    """Tokens of each task's answer, where the study forces recorded ones."""
    known_reasons: tuple[str, ...] = ()
    """Reason codes that hold for every cell, such as ``sandbox_missing``."""
    cool_start: CoolStart | None = None


@dataclass(frozen=True)
class Watched:
    """A load that was driven to its end."""

    outcome: LoadResult
    recorded: Recorded


def measure_cell(setup: CellSetup, cell: PlannedCell, board: BoardHeld | None = None) -> CellRecord:
    """Measure ``cell`` and write its folder, with what its boards are held at; ``cell.json`` comes last.

    Raises:
        EngineError: the engine died; the cell does not count.
        LoadError: the load failed, gave up, or its requests have all failed, or the first of them alike.
        MeterError: power was not recorded to the end.
        RunError: the load was ended from outside.
    """
    folder, spec = begun(setup, cell), spec_of(setup, cell, cell.load)
    measured = watched(setup, cell, spec, folder, open_meter=setup.open_meter, phases=setup.study.phases)
    return finish(setup, cell, measured, board=board)


def begun(setup: CellSetup, cell: PlannedCell) -> Path:
    """Empty and return the folder of a cell that begins: what an unfinished try left is taken away."""
    folder = setup.run.cell(cell.key)
    if folder.exists():
        shutil.rmtree(folder)
    return folder


def watched(
    setup: CellSetup,
    cell: PlannedCell,
    spec: LoadSpec,
    folder: Path,
    *,
    open_meter: OpenMeter,
    phases: PhaseSettings | None,
    answers: bool = True,
) -> Watched:
    """Drive ``spec`` for ``cell`` into ``folder``; with ``phases`` idle before and behind it.

    ``answers``: that no request of it is answered is an error, and no result.

    Raises:
        EngineError: the engine died, or hangs.
        LoadError: the load failed, gave up, or its requests have all failed, or the first of them alike.
        MeterError: power was not recorded to the end.
        RunError: the load was ended from outside.
        KeyboardInterrupt: Ctrl-C came.
    """
    engine, first = setup.engine, FirstRequests(folder) if answers else None
    with EngineScraper(engine.url, folder) as scraper:

        def check() -> None:
            engine.check_alive(f"during {cell.key}")
            scraper.check(setup.study.engine.hang_timeout_s)
            if first is not None:
                first.check()

        def drive(check_all: Callable[[], None]) -> LoadResult:
            outcome = _drive(setup, spec, folder, check_all)
            if outcome.interrupted:
                raise RunError("the load was ended from outside; run the same command again to resume")
            check_all()  # an engine that has died is the better reason
            if first is not None:
                first.check_all()
            if outcome.gave_up:
                raise LoadError(
                    f"the load stopped before its end: {outcome.gave_up}", cause=alike(outcome.gave_up)
                )
            return outcome

        outcome, recorded = metered(folder, open_meter, drive, phases, check, setup.status)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if recorded.problem is not None:
        raise MeterError(f"the power record is not whole: {recorded.problem}")
    engine.check_alive(f"during {cell.key}")
    return Watched(outcome, recorded)


def finish(setup: CellSetup, cell: PlannedCell, measured: Watched, **more: Any) -> CellRecord:
    """Write the ``cell.json`` of a cell whose traces are in its folder; ``more`` are fields of its own."""
    folder, served = setup.run.cell(cell.key), setup.engine.served
    if setup.log is not None:
        shutil.copyfile(setup.log, folder / "engine.log")
    return record_cell(
        folder,
        cell.key,
        measured.outcome,
        measured.recorded,
        run_id=known_run_id(setup.run),
        engine_start=cell.engine_start if served.url is None else None,
        cool_start=setup.cool_start,
        served=served,
        validity=[*setup.known_reasons, *codes_of(cell.load)],
        **more,
    )


def settle(engine: Serving, rest_s: float) -> None:
    """Let an engine come to rest that has just been loaded."""
    time.sleep(rest_s)
    engine.check_alive("after it was loaded")


def spec_of(setup: CellSetup, cell: PlannedCell, load: Load) -> LoadSpec:
    """Return what the load generator is told of a cell, with its prompts and whole passes over them, under ``load``."""
    study = setup.study
    spec = LoadSpec(
        url=setup.engine.url,
        endpoint=study.endpoint,
        model=setup.model,
        load=as_kept(load, setup.run),
        prompts=cell.prompts,
        lengths=None if setup.lengths is None else dict(setup.lengths),
        continuous_usage=counts_chunks(study, cell.key.variant),
        dialect="transformers" if setup.engine.served.engine == "transformers" else "openai",
        amount=Passes(measure=cell.measure),
        warmup_s=study.phases.warmup_s,
        warmup_requests=study.phases.warmup_requests,
        drain_s=study.phases.drain_s,
        dither_s=dither_s(setup.run, load),
        seed=study.seed,
        block=cell.key.block,
    )
    return with_wording(spec, setup.api_key)


def counts_chunks(study: Study, variant: str) -> bool:
    """Say whether the engine of a variant is asked for the tokens of each chunk: of those elsewhere the study says."""
    named = study.remote.get(variant)
    return named is None or named.continuous_usage


def _drive(setup: CellSetup, spec: LoadSpec, folder: Path, check: Callable[[], None]) -> LoadResult:
    study = setup.study
    if study.generator != "own":
        setup.status(f"load by {study.generator.workers} Locust workers")
        return run_distributed(spec, folder, study.generator, check=check)
    return run_load(
        spec,
        folder,
        api_key=setup.api_key,
        cpus=setup.load_cpus,
        on_progress=lambda progress: setup.status(
            _words(progress["phase"], progress["ended"], progress["planned"])
        ),
        check=check,
        watcher=GUARD,
        hang_s=study.engine.hang_timeout_s,
    )


def _words(phase: str, ended: int, planned: int | None) -> str:
    if phase != "window":
        return phase
    return f"measuring {ended}/{planned}" if planned is not None else f"measuring {ended}"
