"""``executor: local``: this process measures everything itself, engine start by engine start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from configs.schema import Cpus, Study
from server.power.nvidia.inventory import gpu_inventory
from study.executors.executor import Ended, Executor, Site, Work
from study.executors.units import Unit
from study.measure.engine_session import Campaign
from study.measure.retries import measure_groups
from study.plan.cells import PlannedCell, by_engine_start
from study.plan.cpus import place
from study.plan.engines import largest_engine
from study.plan.lengths import forced_lengths
from study.plan.rates import boards_for, cpus_for


@dataclass
class Local(Executor):
    """Measure one unit, which has ended when ``start`` returns."""

    study: Study
    checked_field = "cpus"
    _ended: list[Ended] = field(default_factory=list)

    def check(self) -> None:
        """Raises UsageError where a CPU that was named is not among those that this process may use."""
        place(self.study)

    def site(self) -> Site:
        """Look at the boards that its engine takes, or else at the CPUs."""
        study, here = self.study, gpu_inventory()
        if study.remote:
            return Site(boards_for((), study.engine))
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

    def start(self, work: Work, place_name: str, units: Sequence[Unit]) -> None:
        """Measure them, and come back when that is done; raises as ``measure_groups``."""
        order = work.order
        campaign = Campaign(
            order.run,
            order.study,
            work.checkpoints,
            place(order.study),
            work.known_reasons,
            forced_lengths(order.run, order.study, order.tasks_of(order.study, order.dataset)),
            work.display,
            work.exporter,
            work.ledger.note,
        )
        cells = [cell for unit in units for cell in work.ledger.left(unit)]
        measure_groups(by_engine_start(cells), campaign.open_engine, order.patience, work.display.note)
        self._ended = [Ended(unit, place_name, "this process") for unit in units]

    def poll(self) -> list[Ended]:
        """Return what ``start`` has measured."""
        ended, self._ended = self._ended, []
        return ended
