"""The task sets that prompts are taken from and completions are graded against."""

from configs.datasets.loader import (
    DATASETS,
    Dataset,
    DatasetName,
    Task,
    check_flag,
    check_name,
    human_eval_plus_file,
    load_dataset,
)
from configs.datasets.own import is_own
from configs.datasets.releases import asked_name

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetName",
    "Task",
    "asked_name",
    "check_flag",
    "check_name",
    "human_eval_plus_file",
    "is_own",
    "load_dataset",
]
