"""The task sets that prompts are taken from and completions are graded against."""

from configs.datasets.evalplus_files import EVALPLUS_FILES
from configs.datasets.loader import (
    DATASETS,
    Dataset,
    DatasetName,
    Task,
    check_flag,
    load_dataset,
)
from configs.datasets.own import is_own
from configs.datasets.releases import asked_name

__all__ = [
    "DATASETS",
    "EVALPLUS_FILES",
    "Dataset",
    "DatasetName",
    "Task",
    "asked_name",
    "check_flag",
    "is_own",
    "load_dataset",
]
