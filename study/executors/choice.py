"""Choose the executor that a study names: nothing else looks at that field of the schema."""

from __future__ import annotations

from configs.executor import SideBySide, Slurm
from configs.schema import Study
from study.executors.executor import Executor
from study.executors.local import LocalExecutor
from study.executors.side_by_side import SideBySideExecutor
from study.executors.slurm import SlurmExecutor
from traces.layout import RunDir


def executor_for(study: Study, run: RunDir) -> Executor:
    """Make what measures the cells of a study into ``run``; nothing is asked of this machine or a cluster yet."""
    if isinstance(study.executor, Slurm):
        return SlurmExecutor(study, run, study.executor)
    if isinstance(study.executor, SideBySide):
        return SideBySideExecutor(study, run, study.executor, run.slots)
    return LocalExecutor(study, run)
