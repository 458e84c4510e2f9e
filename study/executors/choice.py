"""Which executor a study names: nothing else looks at that field of the schema."""

from __future__ import annotations

from configs import executor as settings
from configs.schema import Study
from study.executors.executor import Executor
from study.executors.local import Local
from study.executors.side_by_side import SideBySide
from study.executors.slurm import Slurm
from traces.layout import RunDir


def executor_for(study: Study, run: RunDir) -> Executor:
    """Make what measures the cells of a study into ``run``; nothing is asked of this machine or a cluster yet."""
    if isinstance(study.executor, settings.Slurm):
        return Slurm(study, run, study.executor)
    if isinstance(study.executor, settings.SideBySide):
        return SideBySide(study, run, study.executor, run.slots)
    return Local(study, run)
