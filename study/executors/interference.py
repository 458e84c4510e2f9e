"""Measure whether engines disturb each other: one cell of every block again, with nobody beside it (``alone/``).

The others are engines of other slots, or engines that are loaded and asked nothing. The cell is measured on the slot
that had the block, with the block's own requests, so that the two differ by the neighbours alone;
``analysis/contrasts/interference.py`` compares them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from configs.executor import NeighbourCheck
from configs.loader import ARRIVALS, LENGTHS, PROMPTS, dump_study
from configs.restarts import Resident
from configs.schema import Study
from starwatt_errors import RunError, counted
from study.executors.executor import Executor, ExecutorContext
from study.executors.loop import measure_units
from study.executors.slots import Slot
from study.executors.units import Ledger, Unit, node_of
from study.measure.retries import RetryBudget
from study.plan.cells import PlannedCell, plan_cells, plan_table
from study.progress.display import tell
from study.records.repeat import take_over
from study.records.this_node import slot_of
from traces.atomic import write_parquet, write_text
from traces.layout import RunDir


@dataclass(frozen=True)
class AloneCheck:
    """Hold the check of a study: its own little study, and where each cell is measured."""

    study: Study
    run: RunDir
    units: Sequence[Unit]
    """Of one cell each, which is still missing, and is measured where its block was."""

    def prepare(self, around: RunDir) -> None:
        """Make it a run directory of its own: study and plan; manifest, lengths and prompts of the run around it."""
        write_text(self.run.study, dump_study(self.study))
        write_parquet(self.run.plan, plan_table(_cells(self.study)))
        shutil.copyfile(around.manifest, self.run.manifest)
        # Beside others and alone alike.
        take_over(around, self.run, ARRIVALS, LENGTHS, PROMPTS, around.cooldown.name)


def check_of(
    study: Study, run: RunDir, wanted: NeighbourCheck | None, slots: Callable[[], Sequence[Slot]]
) -> AloneCheck | None:
    """Return what is left to do of the check; None where the study has none, or nobody was beside anybody.

    A block that was not measured, or whose slot is gone, can't be compared with anything and is left out.
    """
    left = _left(study, run, wanted)
    if not left or wanted is None:
        return None  # and the slots are not asked for: a run that is whole needs no board
    here = {slot.name for slot in slots()}
    units = [Unit(f"b{cell.key.block}", [cell], node_of(run, cell)) for cell in left]
    units = [unit for unit in units if slot_of(unit.node) in here]
    return AloneCheck(_study(study, wanted), RunDir(run.alone), units) if units and len(here) > 1 else None


def check_of_residents(study: Study, run: RunDir, wanted: NeighbourCheck | None) -> AloneCheck | None:
    """Return the check where the others are loaded here and asked nothing: one engine start for all blocks."""
    left = [cell for cell in _left(study, run, wanted) if run.is_measured(cell.key)]
    if not left or wanted is None:
        return None
    return AloneCheck(_study(study, wanted), RunDir(run.alone), [Unit("alone", left)])


def measure_alone(check: AloneCheck, around: RunDir, executor: Executor, context: ExecutorContext) -> None:
    """Measure its cells by ``executor``; a check that fails ends no study."""
    check.prepare(around)
    budget = RetryBudget(check.run, check.study.attempts)
    cells = sum(len(unit.cells) for unit in check.units)
    tell(
        f"  {counted(cells, 'cell')} {'is' if cells == 1 else 'are'} measured again, each with nobody beside it"
    )
    study_run = replace(context.study_run, study=check.study, run=check.run)
    ledger = Ledger(check.run, budget, lambda _: None)
    try:
        measure_units(executor, replace(context, study_run=study_run, ledger=ledger), check.units)
    except RunError as error:
        tell(f"  whether engines disturb each other is not known: {error}")
    for key, attempt in budget.given_up().items():
        tell(f"  {key}: with nobody beside it it is left out: {attempt.error} (--retry-failed tries again)")


def _left(study: Study, run: RunDir, wanted: NeighbourCheck | None) -> list[PlannedCell]:
    """Return those of ``check_cells`` that have not failed too often."""
    given_up = RetryBudget(RunDir(run.alone), study.attempts).given_up()
    return [cell for cell in check_cells(study, run, wanted) if cell.key not in given_up]


def check_cells(study: Study, run: RunDir, wanted: NeighbourCheck | None) -> list[PlannedCell]:
    """Return what the check has still to measure when all is measured; nothing where the study has none."""
    cells = [] if wanted is None else _cells(_study(study, wanted))
    return [cell for cell in cells if not RunDir(run.alone).is_measured(cell.key)]


def _study(study: Study, wanted: NeighbourCheck) -> Study:
    """Return the study of the one cell, in all blocks."""
    variant = wanted.variant or study.baseline
    again = study.measured_again(wanted)
    return study.model_copy(
        update={
            "models": study.models[:1],
            "variants": (variant,),
            "baseline": variant,
            "controls": {},
            "loads": () if again is None else (again,),
            "board": study.board[:1],
            "probes": None,
            "engine_restarts": "once"
            if isinstance(study.engine_restarts, Resident)
            else study.engine_restarts,
        }
    )


def _cells(study: Study) -> list[PlannedCell]:
    return plan_cells(study, tasks=1)  # their number decides nothing but the estimate
