"""``executor: side_by_side``: the study's units on the slots of this machine, then the check of neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from configs.schema import Study
from starwatt_errors import RunError
from study.crew import Crew
from study.neighbours import check_of
from study.nodes import gather_nodes
from study.persistence import Patience
from study.plan import PlannedCell
from study.slots import slots_of
from traces.layout import RunDir


@dataclass
class Machine:
    """Measures a study with several engines at once; ``advance`` is told of each cell that has been measured."""

    run: RunDir
    study: Study
    patience: Patience
    known_reasons: tuple[str, ...]
    say: Callable[[str], None]
    announce: Callable[[str], None]
    advance: Callable[[PlannedCell], None]

    def measure(self, todo: Sequence[PlannedCell]) -> None:
        """Measure all of ``todo``, or give up what fails too often; then what is left of the check.

        Raises:
            UsageError: a slot's board or CPU is not here.
            RunError: nothing at all could be measured, or the disk is full.
        """
        slots = slots_of(self.study)
        self.say(f"{len(slots)} slots: {', '.join(slot.name for slot in slots)}")
        voices = self.known_reasons, self.say, self.announce
        Crew(self.run, self.study, slots, self.run.slots, self.patience, *voices, self.advance).measure(todo)
        gather_nodes(self.run)
        check = check_of(self.study, self.run, lambda: slots)
        if check is None:
            return
        check.prepare(self.run)
        patience = Patience(check.run, self.study.attempts)
        crew = Crew(check.run, check.study, slots, self.run.slots, patience, *voices, lambda _: None)
        try:
            for cell, slot in check.cells:
                self.say(f"{cell.key} again on {slot.name}, with nobody beside it")
                crew.measure_on(slot, cell)
        except RunError as error:
            self.say(f"whether slots disturb each other is not known: {error}")


def check_is_due(study: Study, run: RunDir) -> bool:
    """Whether cells of the check of neighbours are left to measure."""
    return check_of(study, run, partial(slots_of, study)) is not None
