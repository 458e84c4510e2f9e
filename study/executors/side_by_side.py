"""``executor: side_by_side``: the study's units on the slots of this machine, then the check of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from configs.schema import Study
from starwatt_errors import RunError
from study.executors.interference import check_of
from study.executors.slot_pool import Crew
from study.executors.slots import slots_of
from study.executors.units import Errand
from study.measure.retries import Patience
from study.plan.cells import PlannedCell
from study.records.node_manifests import gather_nodes
from traces.layout import RunDir


class Machine(Errand):
    """Measures a study with several engines at once."""

    def measure(self, todo: Sequence[PlannedCell]) -> None:
        """Measure all of ``todo``, or give up what fails too often; then what is left of the check.

        Raises:
            UsageError: a slot's board or CPU is not here.
            RunError: nothing at all could be measured, or the disk is full.
        """
        slots = slots_of(self.study)
        self.say(f"{len(slots)} slots: {', '.join(slot.name for slot in slots)}")
        crew = Crew(**vars(self), slots=slots, locks=self.run.slots)
        crew.measure(todo)
        gather_nodes(self.run)
        check = check_of(self.study, self.run, lambda: slots)
        if check is None:
            return
        check.prepare(self.run)
        patience = Patience(check.run, self.study.attempts)
        again = replace(crew, run=check.run, study=check.study, patience=patience, advance=lambda _: None)
        try:
            for cell, slot in check.cells:
                self.say(f"{cell.key} again on {slot.name}, with nobody beside it")
                again.measure_on(slot, cell)
        except RunError as error:
            self.say(f"whether slots disturb each other is not known: {error}")
        for key, attempt in patience.given_up().items():
            self.say(
                f"{key}: with nobody beside it it is left out: {attempt.error} (--retry-failed tries again)"
            )


def check_is_due(study: Study, run: RunDir) -> bool:
    """Whether cells of the check of neighbours are left to measure."""
    return check_of(study, run, partial(slots_of, study)) is not None
