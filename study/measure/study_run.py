"""Read a study file, and what it comes to in its run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.controls import with_controls
from configs.datasets import Dataset, Task, load_dataset
from configs.loader import load_study, refused
from configs.schema import Study
from loadgen.planning.prompts import choose_tasks
from starwatt_errors import UsageError
from study.measure.retries import RetryBudget
from study.plan.cells import PlannedCell, plan_cells
from study.plan.named import check_lengths, check_models, check_tasks
from study.plan.prompts import as_asked
from study.records.repeat import Repeated
from traces.layout import RunDir


@dataclass(frozen=True)
class StudyRun:
    """Hold a study file that was read, and what it comes to in its run directory."""

    study: Study
    run: RunDir
    dataset: Dataset
    cells: list[PlannedCell]
    repeated: Repeated | None = None
    """The run whose study it is, where it is run again."""
    file: Path = Path()
    """The study's."""

    @classmethod
    def read(cls, study_file: Path, out: Path | None, blocks: int | None = None) -> StudyRun:
        """Read a study, with ``blocks`` in place of its own; what this machine lacks is not looked at.

        Raises:
            UsageError: the file is wrong.
        """
        study = load_study(study_file)
        if blocks is not None:
            study = study.model_copy(update={"blocks": blocks})
        try:
            study = with_controls(study)
        except UsageError as error:
            raise refused(study_file, ("variants",), str(error).removeprefix("variants: ")) from error
        run = RunDir(out if out is not None else Path("runs") / study.name)
        check_models(study_file, study)
        dataset = load_dataset(study.prompts.dataset)
        count = len(choose_tasks(dataset, study.prompts.tasks, study.seed))
        study_run = cls(study, run, dataset, plan_cells(as_asked(study, run), count), file=study_file)
        if study_run.unmeasured():
            check_tasks(study_file, study, dataset)
            check_lengths(study_file, study, run, study_run.task_ids)
        return study_run

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks that are asked, in their order."""
        return tuple(choose_tasks(self.dataset, self.study.prompts.tasks, self.study.seed))

    @property
    def task_ids(self) -> list[str]:
        """Name the tasks."""
        return [task.task_id for task in self.tasks]

    @property
    def budget(self) -> RetryBudget:
        """Return the budget of tries of its cells."""
        return RetryBudget(self.run, self.study.attempts)

    def unmeasured(self) -> list[PlannedCell]:
        """Return the cells whose ``cell.json`` is missing."""
        return [cell for cell in self.cells if not self.run.is_measured(cell.key)]

    def todo(self) -> list[PlannedCell]:
        """Return the cells that are missing and have not failed too often."""
        given_up = self.budget.given_up()
        return [cell for cell in self.unmeasured() if cell.key not in given_up]
