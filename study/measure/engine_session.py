"""One engine start of a study: its engine is opened, and its cells are measured on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from configs.loader import load_variant
from configs.loads import FindRate
from configs.meters import Meters
from configs.schema import Study
from server.engines.boards import Allotment, allot
from server.engines.engine import Engine, free_port
from server.engines.engine_spec import EngineSpec
from server.power.control.hold import HeldBoards
from starwatt_errors import EngineError
from study.measure.cell import CellSetup, Serving, measure_cell, settle
from study.measure.checkpoints import Checkpoints
from study.measure.cooldown import cool_down
from study.measure.meter import OpenMeter, meter_here
from study.measure.remote_engine import describe, meter_of, reach
from study.measure.retries import Measure
from study.measure.searched import measure_searched
from study.measure.secrets import api_key
from study.plan.cells import PlannedCell
from study.plan.cpus import Placement
from study.plan.engines import settings_of
from study.progress.display import Display, tell
from study.progress.exporter import Exporter
from study.progress.live import Snapshot, watching
from traces.board import BoardHeld
from traces.cell import CoolStart
from traces.layout import RunDir


@dataclass(frozen=True)
class Started:
    """An engine that answers, the boards that it got, and what these were before."""

    engine: Engine
    allotment: Allotment
    cool_start: CoolStart | None


@dataclass(frozen=True)
class EngineSession:
    """Open the engines of a study, with what all of its engine starts share."""

    run: RunDir
    study: Study
    checkpoints: Checkpoints
    placement: Placement
    known_reasons: tuple[str, ...]
    lengths: dict[str, dict[str, int]]
    """By model's name in paths: tokens of each task's answer, where they are recorded."""
    display: Display
    exporter: Exporter | None = None
    boards: HeldBoards | None = None
    """Those of its engines, where the study sets them."""
    measured: Callable[[PlannedCell], None] = lambda _: None
    """Told of each cell that has been measured."""

    @contextmanager
    def open_engine(self, cells: Sequence[PlannedCell], residents: Sequence[int] = ()) -> Iterator[Measure]:
        """Start the engine of these cells, or reach the one that runs; yields what measures one of them.

        ``residents`` are processes of the study's other engines that are loaded here, and not asked meanwhile.

        Raises:
            EngineError: it did not start, does not answer, or died.
        """
        first = cells[0]
        self.release_boards()
        if first.variant in self.study.remote:
            yield self._measure_elsewhere(first, residents)
            return
        self.display.title(f"starting the engine of {first.variant}")
        allotment = self.allotment(first)
        cool_start = self.cool_down(allotment.meters)
        with started(
            self.spec(first, allotment), self.log_of(first).resolve(), self.display.status
        ) as engine:
            settle(engine, self.study.phases.rest_s)
            yield self.turn_of(Started(engine, allotment, cool_start), first, residents)

    def release_boards(self) -> None:
        """Set them as they were found: every engine is loaded, and cools down before, at the same limit."""
        if self.boards is not None:
            self.boards.release()

    def turn_of(self, started: Started, first: PlannedCell, residents: Sequence[int] = ()) -> Measure:
        """Return what measures cells on an engine that has come to rest; ``residents`` as of ``open_engine``."""
        engine = started.engine
        allotment = started.allotment.as_seen(engine.process.pid)
        meter = meter_here(allotment.meters, engine.process.pid, residents)
        return self._measure_on(
            engine,
            engine.spec.model,
            meter,
            engine.log,
            api_key(),
            first,
            started.cool_start,
            allotment.reasons,
        )

    def allotment(self, first: PlannedCell) -> Allotment:
        """Return the boards of the engine of a cell that is started here; raises as ``allot``."""
        return allot(self.study.meter_settings, settings_of(self.study, first.variant))

    def spec(self, first: PlannedCell, allotment: Allotment) -> EngineSpec:
        """Return what is started for the cells of an engine, of which ``first`` is the first."""
        return EngineSpec(
            model=first.key.model,
            variant=load_variant(first.variant, self.study.defined),
            checkpoint=self.checkpoints[first.model, first.variant],
            settings=self.study.engine,
            port=free_port(),
            api_key=api_key(),
            cpus=self.placement.engine,
            seed=self.study.seed,
            boards=allotment.numbers,
        )

    def _measure_elsewhere(self, first: PlannedCell, residents: Sequence[int]) -> Measure:
        self.display.title(f"reaching the engine of {first.variant}")
        engine = reach(self.study, first.variant, self.display.status)
        describe(self.run, self.study, first.variant, engine, self.display.status)
        assert engine.model is not None  # noqa: S101 -- reach() has found it
        settle(engine, self.study.phases.rest_s)
        meter = meter_of(self.study, first.variant, residents)
        return self._measure_on(engine, engine.model, meter, None, engine.api_key, first, None)

    def cool_down(self, meters: Meters) -> CoolStart | None:
        """Wait, while no engine of ours runs, until the boards are as cool as before earlier starts."""
        wanted = self.study.phases.cooldown
        if wanted is None:
            return None
        start = cool_down(self.run, meters, wanted, self.display.status)
        if start is not None and not start.cooled:
            self.display.log(f"the boards did not cool down within {wanted.timeout_s:g} s (phases.cooldown)")
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
        setup = CellSetup(
            run=self.run,
            study=self.study,
            engine=engine,
            model=model,
            open_meter=meter,
            log=log,
            api_key=key,
            load_cpus=self.placement.load,
            status=self.display.status,
            log_line=self.display.log,
            lengths=self.lengths.get(first.key.model),
            known_reasons=(*self.known_reasons, *random, *warm, *reasons),
            cool_start=cool_start,
        )

        def measure(cell: PlannedCell) -> None:
            self.display.title(str(cell.key))
            board = self._held(cell)
            with self._watched(cell):
                (measure_searched if isinstance(cell.load, FindRate) else measure_cell)(setup, cell, board)
            self.measured(cell)

        return measure

    def _held(self, cell: PlannedCell) -> BoardHeld | None:
        """Set the engine's boards for a cell; None where the study leaves them alone."""
        if self.boards is None or cell.board is None:
            return None
        self.display.status(f"setting the boards: {cell.board.slug}")
        return self.boards.hold(cell.board, self.study.phases.board_settle_s)

    @contextmanager
    def _watched(self, cell: PlannedCell) -> Iterator[None]:
        """Show what the cell does, where somebody looks: on a terminal, or by ``--metrics-port``."""
        told: list[Callable[[Snapshot], None]] = []
        if self.display.live:
            told.append(lambda snapshot: self.display.reading(snapshot.words))
        if self.exporter is not None:
            self.exporter.cell(cell.key)
            told.append(self.exporter.saw)
        try:
            with watching(self.run.cell(cell.key), *told) if told else nullcontext():
                yield
        finally:
            if self.exporter is not None:
                self.exporter.cell(None)

    def log_of(self, first: PlannedCell) -> Path:
        """Name a log of its own for this start; that of an engine which was started before it, and failed, is kept."""
        folder = self.run.root / "engines"
        name = f"{first.engine_start:03d}-{first.key.model}-{first.variant}"
        path, number = folder / f"{name}.log", 1
        while path.exists():
            number += 1
            path = folder / f"{name}-{number}.log"
        return path


def started(spec: EngineSpec, log: Path, status: Callable[[str], None]) -> Engine:
    """Start an engine and return it once it answers; it is stopped again where it never does."""
    engine = Engine.start(spec, log)
    try:
        engine.wait_ready(status)
    except EngineError:
        engine.stop()
        raise
    except KeyboardInterrupt:
        # One that is importing takes its time to hear it.
        tell(f"stopping: ending the engine of {spec.variant.name}")
        engine.stop()
        raise
    return engine
