"""One engine start of a study: its engine is opened, and its cells are measured on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from configs.loader import load_variant
from configs.meters import Meters
from configs.schema import Study
from server.engines.boards import allot
from server.engines.engine import Engine, free_port
from server.engines.engine_spec import EngineSpec
from starwatt_errors import EngineError
from study.measure.cell import Bench, Serving, measure_cell, settle
from study.measure.checkpoints import Checkpoints
from study.measure.cooldown import cool_down
from study.measure.meter import OpenMeter, meter_here
from study.measure.remote_engine import describe, meter_of, reach
from study.measure.retries import Measure
from study.measure.secrets import api_key
from study.plan.cells import PlannedCell
from study.plan.cpus import Placement
from study.plan.engines import settings_of
from study.progress.display import Display
from study.progress.exporter import Exporter
from study.progress.live import Snapshot, Watching
from traces.cell import CoolStart
from traces.layout import RunDir


@dataclass(frozen=True)
class Campaign:
    """What all engine starts of a study share."""

    run: RunDir
    study: Study
    checkpoints: Checkpoints
    placement: Placement
    known_reasons: tuple[str, ...]
    lengths: dict[str, dict[str, int]]
    """By model's name in paths: tokens of each task's answer, where they are recorded."""
    display: Display
    exporter: Exporter | None = None
    measured: Callable[[PlannedCell], None] = lambda _: None
    """Told of each cell that has been measured."""

    @contextmanager
    def open_engine(self, cells: Sequence[PlannedCell]) -> Iterator[Measure]:
        """Start the engine of these cells, or reach the one that runs; yields what measures one of them.

        Raises:
            EngineError: it did not start, does not answer, or died.
        """
        first = cells[0]
        if first.variant in self.study.remote:
            yield self._measure_elsewhere(first)
            return
        checkpoint = self.checkpoints[first.model, first.variant]
        self.display.title(f"starting the engine of {first.variant}")
        own = allot(self.study.meter_settings, settings_of(self.study, first.variant))
        cool_start = self._cool_down(own.meters)
        spec = EngineSpec(
            model=first.key.model,
            variant=load_variant(first.variant),
            checkpoint=checkpoint,
            settings=self.study.engine,
            port=free_port(),
            api_key=api_key(),
            cpus=self.placement.engine,
            seed=self.study.seed,
            boards=own.numbers,
        )
        with started(spec, self._log(first).resolve(), self.display.say) as engine:
            settle(engine, self.study.phases.rest_s)
            own = own.as_seen(engine.process.pid)
            meter = meter_here(own.meters, engine.process.pid)
            measure = self._measure_on(
                engine, engine.spec.model, meter, engine.log, api_key(), first, cool_start, own.reasons
            )
            yield measure

    def _measure_elsewhere(self, first: PlannedCell) -> Measure:
        self.display.title(f"reaching the engine of {first.variant}")
        engine = reach(self.study, first.variant, self.display.say)
        describe(self.run, self.study, first.variant, engine, self.display.say)
        assert engine.model is not None  # noqa: S101 -- reach() has found it
        settle(engine, self.study.phases.rest_s)
        meter = meter_of(self.study, first.variant)
        return self._measure_on(engine, engine.model, meter, None, engine.api_key, first, None)

    def _cool_down(self, meters: Meters) -> CoolStart | None:
        wanted = self.study.phases.cooldown
        if wanted is None:
            return None
        start = cool_down(self.run, meters, wanted, self.display.say)
        if start is not None and not start.cooled:
            self.display.note(f"the boards did not cool down within {wanted.timeout_s:g} s (phases.cooldown)")
        return start

    def _measure_on(
        self,
        engine: Serving,
        model: str,
        meter: OpenMeter,
        log: Path | None,
        key: str | None,
        first: PlannedCell,
        cool_start: CoolStart | None,
        reasons: tuple[str, ...] = (),
    ) -> Measure:
        random = ("random_weights",) if engine.served.random_weights else ()
        warm = ("not_cooled",) if cool_start is not None and not cool_start.cooled else ()
        bench = Bench(
            run=self.run,
            study=self.study,
            engine=engine,
            model=model,
            open_meter=meter,
            log=log,
            api_key=key,
            load_cpus=self.placement.load,
            announce=self.display.say,
            lengths=self.lengths.get(first.key.model),
            known_reasons=(*self.known_reasons, *random, *warm, *reasons),
            cool_start=cool_start,
        )

        def measure(cell: PlannedCell) -> None:
            self.display.title(str(cell.key))
            with self._watched(cell):
                measure_cell(bench, cell)
            self.measured(cell)

        return measure

    @contextmanager
    def _watched(self, cell: PlannedCell) -> Iterator[None]:
        """Show what the cell does, where somebody looks: on a terminal, or by ``--metrics-port``."""
        told: list[Callable[[Snapshot], None]] = []
        if self.display.live:
            told.append(lambda snapshot: self.display.glance(snapshot.words))
        if self.exporter is not None:
            self.exporter.cell(cell.key)
            told.append(self.exporter.saw)
        try:
            with Watching(self.run.cell(cell.key), *told) if told else nullcontext():
                yield
        finally:
            if self.exporter is not None:
                self.exporter.cell(None)

    def _log(self, first: PlannedCell) -> Path:
        """Of this start; what an engine said that was started before it, and failed, is kept."""
        folder = self.run.root / "engines"
        name = f"{first.engine_start:03d}-{first.key.model}-{first.variant}"
        path, number = folder / f"{name}.log", 1
        while path.exists():
            number += 1
            path = folder / f"{name}-{number}.log"
        return path


def started(spec: EngineSpec, log: Path, announce: Callable[[str], None]) -> Engine:
    """An engine that answers; it is stopped again where it never does."""
    engine = Engine.start(spec, log)
    try:
        engine.wait_ready(announce)
    except (EngineError, KeyboardInterrupt):
        engine.stop()
        raise
    return engine
