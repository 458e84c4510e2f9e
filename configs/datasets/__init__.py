"""The task sets that prompts are taken from and completions are graded against."""

from configs.datasets.loader import DATASETS, Dataset, Task, human_eval_plus_file, load_dataset

__all__ = ["DATASETS", "Dataset", "Task", "human_eval_plus_file", "load_dataset"]
