"""Prompts of one's own in a run: kept beside the study, asked from there, and the same for every cell."""

from __future__ import annotations

from pathlib import Path

from configs.datasets import Dataset, check_name, is_own, load_dataset
from configs.datasets.own import read_own, text_of
from configs.loader import PROMPTS
from configs.schema import Study
from starwatt_errors import TraceError, UsageError
from traces.atomic import read_json, write_text
from traces.layout import RunDir

NO_TESTS = "no_tests"


def check_flag(dataset: str) -> None:
    """Raises ``UsageError`` where ``--dataset`` names neither a data set nor a file of own prompts that reads."""
    try:
        check_name(dataset)
        if is_own(dataset):
            load_dataset(dataset)
    except UsageError as error:
        raise UsageError(f"--dataset: {error}") from error


def kept_prompts(run: RunDir) -> Path:
    """Prompts of one's own, as they are asked; not there where the study names a data set."""
    return run.root / PROMPTS


def as_asked(study: Study, run: RunDir) -> Study:
    """The study with own prompts from where the run keeps them: an edit while it runs must not reach a cell."""
    if not is_own(study.prompts.dataset):
        return study
    prompts = study.prompts.model_copy(update={"dataset": str(kept_prompts(run).resolve())})
    return study.model_copy(update={"prompts": prompts})


def keep_prompts(run: RunDir, source: str) -> None:
    """Keep own prompts in ``run``; nothing to do for a data set.

    Raises:
        UsageError: the run was begun with other prompts.
    """
    if not is_own(source):
        return
    if not kept_prompts(run).is_file():
        write_text(kept_prompts(run), text_of(read_own(Path(source))))
    elif load_dataset(source).sha256 != load_dataset(str(kept_prompts(run))).sha256:
        raise UsageError(
            f"the prompts in {source} are not those that this run asks, which are kept in {kept_prompts(run)}: "
            "restore them, or --out another folder"
        )


def dataset_of(run: RunDir) -> Dataset:
    """What a run was asked: the own prompts that it keeps, or the data set that its manifest names.

    Raises:
        UsageError: it does not read.
        TraceError: the manifest does not read.
    """
    if kept_prompts(run).is_file():
        return load_dataset(str(kept_prompts(run)))
    try:
        named = str(read_json(run.manifest)["dataset"]["name"])
    except (KeyError, TypeError) as error:
        raise TraceError(f"{run.manifest}: does not say which data set was asked (dataset.name)") from error
    return load_dataset(named)


def why_not_graded(dataset: Dataset) -> str | None:
    """None where the tasks have tests."""
    return None if dataset.has_tests else f"{dataset.name} has no tests"
