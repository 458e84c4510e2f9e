"""``executor: local``: this process measures everything itself, engine start by engine start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from configs.executor import NeighbourCheck
from configs.restarts import Resident
from configs.schema import Cpus, Study
from server.engines.boards import allot
from server.power.control.board import ControlError
from server.power.control.hold import HeldBoards, hold_boards
from server.power.nvidia.inventory import gpu_inventory
from study.executors.executor import Ended, Executor, ExecutorContext, Site
from study.executors.interference import AloneCheck, check_cells, check_of_residents, measure_alone
from study.executors.units import Unit
from study.measure.engine_session import EngineSession
from study.measure.residents import Residents
from study.measure.retries import OpenEngine, RetryBudget, measure_groups
from study.plan.cells import PlannedCell, by_engine_start
from study.plan.cpus import place
from study.plan.engines import largest_engine
from study.plan.lengths import forced_lengths
from study.plan.rates import boards_for, cpus_for
from traces.layout import RunDir


@dataclass
class LocalExecutor(Executor):
    """Measure one unit, which has ended when ``start`` returns."""

    study: Study
    run: RunDir | None = None
    """Beside which the check of engines that stay loaded lies; None: there is none, as on a slot or a node."""
    checked_field = "cpus"
    _ended: list[Ended] = field(default_factory=list)

    def check(self) -> None:
        """Raises UsageError where a CPU that was named is not among those that this process may use."""
        place(self.study)

    def site(self) -> Site:
        """Look at the boards that its engine takes, or else at the CPUs."""
        study = self.study
        if study.remote:
            return Site(boards_for((), study.engine))
        here = gpu_inventory()
        chosen = study.meter_settings.gpus
        boards = [gpu for gpu in here if chosen is None or gpu.uuid in chosen]
        if here:
            hardware = boards_for([gpu.name for gpu in here], study.engine)
        else:
            cpus = study.cpus.engine if isinstance(study.cpus, Cpus) else place(study).engine
            hardware = cpus_for(None if cpus is None else len(cpus))
        return Site(hardware, boards[: largest_engine(study).boards])

    def units(self, cells: Sequence[PlannedCell]) -> list[Unit]:
        """Put all cells into one."""
        return [Unit("all", cells)]

    def free(self, waiting: Sequence[Unit]) -> list[tuple[str, list[Unit]]]:
        """Take all at once: nothing runs beside it."""
        return [("", list(waiting))] if waiting else []

    def start(self, context: ExecutorContext, place_name: str, units: Sequence[Unit]) -> None:
        """Measure them, and come back when that is done; raises as ``measure_groups``."""
        study_run = context.study_run
        cells = [cell for unit in units for cell in context.ledger.left(unit)]
        with held_boards(study_run.study, study_run.run) as boards:
            session = EngineSession(
                study_run.run,
                study_run.study,
                context.checkpoints,
                place(study_run.study),
                context.known_reasons,
                forced_lengths(study_run.run, study_run.study, study_run.task_ids),
                context.display,
                context.exporter,
                boards,
                context.ledger.note,
            )
            with _opener(session, cells, study_run.budget) as open_engine:
                measure_groups(by_engine_start(cells), open_engine, study_run.budget, context.display.log)
        self._ended = [Ended(unit, place_name, "this process") for unit in units]

    def poll(self) -> list[Ended]:
        """Return what ``start`` has measured."""
        ended, self._ended = self._ended, []
        return ended

    def again(self) -> Sequence[PlannedCell]:
        """List the cells of the check whether loaded engines disturb the one that is asked."""
        return () if self.run is None else check_cells(self.study, self.run, self._alone)

    def is_due(self) -> bool:
        """Say whether some of them are left, and are there with others beside them."""
        return self._check() is not None

    def measure_again(self, context: ExecutorContext) -> None:
        """Measure them on one engine, with no other loaded."""
        check = self._check()
        if check is not None and self.run is not None:
            measure_alone(check, self.run, LocalExecutor(check.study), context)

    def _check(self) -> AloneCheck | None:
        return None if self.run is None else check_of_residents(self.study, self.run, self._alone)

    @property
    def _alone(self) -> NeighbourCheck | None:
        restarts = self.study.engine_restarts
        return restarts.alone if isinstance(restarts, Resident) else None


@contextmanager
def _opener(
    session: EngineSession, cells: Sequence[PlannedCell], budget: RetryBudget
) -> Iterator[OpenEngine]:
    """Start engines one at a time, or keep them loaded beside each other."""
    restarts = session.study.engine_restarts
    if not isinstance(restarts, Resident):
        yield session.open_engine
        return
    with closing(Residents(session, restarts, cells, budget)) as residents:
        yield residents.open_engine


@contextmanager
def held_boards(study: Study, run: RunDir) -> Iterator[HeldBoards | None]:
    """Hold the boards that any engine of this study gets here; None where the study leaves them alone.

    Raises:
        ControlError: they cannot be set as it asks, or not be put back.
        RunError: another study holds one.
        StarwattError: as ``hold_boards``.
    """
    if not study.board:
        yield None
        return
    uuids = allot(study.meter_settings, largest_engine(study)).meters.gpus
    if not uuids:
        raise ControlError("board: no NVIDIA board is here whose power can be read", cause="no board")
    with hold_boards(uuids, run.root, study.board) as boards:
        yield boards
