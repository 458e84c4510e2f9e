"""Check that what a study names of its data is there: a name that is not would be left out in silence."""

from __future__ import annotations

from pathlib import Path

from configs.datasets import Dataset
from configs.loader import refused
from configs.schema import Study
from starwatt_errors import UsageError
from study.plan.lengths import lengths_of
from traces.layout import RunDir, model_slug


def check_models(study_file: Path, study: Study) -> None:
    """Raises UsageError where two models would share a folder of the run, or one would have none."""
    called: dict[str, str] = {}
    for place, model in enumerate(study.models):
        slug = model_slug(model)
        if not slug:
            raise refused(study_file, ("models", place), f"takes the folder of a checkpoint, not {model}")
        if slug in called:
            words = f"{model} and {called[slug]} are both called {slug} in a run"
            raise refused(study_file, ("models", place), words)
        called[slug] = model


def check_tasks(study_file: Path, study: Study, dataset: Dataset) -> None:
    """Raises UsageError where more tasks are wanted than there are."""
    wanted, there = study.prompts.tasks, len(dataset.tasks)
    if wanted != "all" and wanted > there:
        raise refused(
            study_file,
            ("prompts", "tasks"),
            f"takes at most {there}, or all: {dataset.name} has no more (given: {wanted})",
        )


def check_lengths(study_file: Path, study: Study, run: RunDir, tasks: list[str]) -> None:
    """Raise UsageError where recorded lengths cannot be read, or lack a task."""
    try:
        lengths_of(run, study, tasks)
    except UsageError as error:
        location = ("prompts", "output", "recorded")
        raise refused(study_file, location, str(error).removeprefix("prompts.output.recorded: ")) from error
