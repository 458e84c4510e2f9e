"""The task sets that prompts are taken from and completions are graded against."""

from configs.datasets.loader import DATASETS, Dataset, Task, load_dataset

__all__ = ["DATASETS", "Dataset", "Task", "load_dataset"]
