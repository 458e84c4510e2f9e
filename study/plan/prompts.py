"""Keep own prompts in a run, and ask them from there: the same for every cell."""

from __future__ import annotations

from pathlib import Path

from analysis.runs.provenance import read_manifest, read_study
from configs.datasets import Dataset, asked_name, is_own, load_dataset
from configs.datasets.own import read_own, text_of
from configs.loader import PROMPTS
from configs.loads import Load
from configs.prompt_formats import EndpointKind
from configs.schema import Study
from loadgen.planning.recorded import with_lengths
from starwatt_errors import UsageError
from traces.atomic import write_text
from traces.layout import RunDir

NO_TESTS = "no_tests"
MADE_UP = "made_up_prompts"
"""The reason code of loads that replay a recording with lengths: their prompts are made up."""


def kept_prompts(run: RunDir) -> Path:
    """Return the place of own prompts, as they are asked; no file where the study names a data set."""
    return run.root / PROMPTS


def as_asked(study: Study, run: RunDir) -> Study:
    """Return the study with own prompts from where the run keeps them: an edit while it runs must not reach a cell."""
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
    """Load what a run was asked: own prompts that it keeps, or the set that its manifest, or else its study, names.

    Raises:
        UsageError: it cannot be read, or has another content here.
        TraceError: neither manifest nor study can be read.
    """
    told = read_manifest(run).get("dataset") or {}
    kept = kept_prompts(run)
    if told.get("tasks") == 0:  # a load test of a recording: its prompts were made up
        return Dataset(str(told.get("name")), str(told.get("sha256")), ())
    if kept.is_file():
        dataset = load_dataset(str(kept))
    else:
        dataset = load_dataset(asked_name(told.get("name") or read_study(run).prompts.dataset))
    known = told.get("sha256")
    if known is not None and dataset.sha256 != known:
        raise UsageError(
            f"{run.root} was asked the tasks of {told['name']} with the digest {known[:12]}, and here is "
            f"{dataset.name} with {dataset.sha256[:12]}: answers are graded by the tests of the very tasks that were "
            "asked"
        )
    return dataset


def endpoint_of(run: RunDir) -> EndpointKind:
    """Say which API a run asked: what its manifest says of a load test, or else its study.

    Raises:
        TraceError: neither can be read.
    """
    asked = (read_manifest(run).get("load") or {}).get("endpoint")
    if asked is None and not (run.root / "study.yaml").is_file():  # a load test before there was a choice
        return "completions"
    return read_study(run).endpoint if asked is None else asked


def codes_of(load: Load) -> tuple[str, ...]:
    """Say why answers to this load's requests cannot be graded, whatever the data set has."""
    return () if with_lengths(load) is None else (MADE_UP,)


def words_of_recording(load: Load) -> list[str]:
    """Say what a load replays in place of the data set's tasks, and what of its file is left out; empty elsewhere."""
    recording = with_lengths(load)
    if recording is None:
        return []
    return [
        f"pass@1 will be missing ({MADE_UP}): prompts are made up to recorded lengths",
        *recording.remarks,
    ]


def why_not_graded(dataset: Dataset) -> str | None:
    """Say why nothing is graded; None where the tasks have tests."""
    if not dataset.tasks:
        return f"{dataset.name} has lengths alone, and prompts were made up to them"
    return None if dataset.has_tests else f"{dataset.name} has no tests"
