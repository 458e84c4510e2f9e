"""``executor: slurm``: units become tasks of job arrays on a cluster, and are followed in its queue."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import astuple, dataclass, field
from pathlib import Path

import submitit

from configs.executor import Slurm
from configs.schema import Study
from server.process.waiting import wait_until
from starwatt_errors import RunError, reason_of
from study.executors.executor import Ended, Executor, ExecutorContext, Site
from study.executors.slurm_queue import (
    Queued,
    cancel,
    check_cluster,
    queued,
    read_jobs,
    remember_job,
    sbatch_parameters,
    takes_jobs,
)
from study.executors.unit_task import measure_unit
from study.executors.units import Unit, units_of
from study.plan.cells import PlannedCell
from study.plan.rates import boards_for, cpus_for
from study.progress.display import tell
from traces.layout import RunDir

_SILENCE_S = 600.0
"""A controller that does not answer for so long is given up."""
_CANCEL_S = 60.0
_GONE_AFTER = 2
"""Looks at the queue that a task must be missing from: files of its node may take a moment to be seen here."""
_PYTHON = f"exec {shlex.quote(sys.executable)} -P"
"""In the place of the batch script's shell: that would fall at the first SIGTERM, and Slurm would think the task ended
while its engine is still being stopped."""


@dataclass
class _Job:
    number: str
    """As Slurm has it."""
    node: str = ""
    missing: int = 0


@dataclass
class SlurmExecutor(Executor):
    """Submit jobs and follow them."""

    study: Study
    run: RunDir
    settings: Slurm
    here = False
    poll_s: float = field(init=False)
    _jobs: dict[Unit, _Job] = field(default_factory=dict)
    _answered_s: float = field(default_factory=time.monotonic)
    _status: str = ""

    def __post_init__(self) -> None:
        self.poll_s = self.settings.poll_s

    @property
    def at_once(self) -> int | None:
        """Return what the study says."""
        return self.settings.at_once

    def check(self) -> None:
        """Raises as ``check_cluster``."""
        check_cluster(self.settings)

    def site(self) -> Site:
        """Describe a node, of which no more is known than what is asked for."""
        boards = self.settings.gpus > 0
        return Site(boards_for((), self.study.engine) if boards else cpus_for(self.settings.cpus))

    def units(self, cells: Sequence[PlannedCell]) -> list[Unit]:
        """Take blocks or engine starts."""
        return units_of(self.study, cells, by_block=self.settings.unit == "block")

    def adopt(self, waiting: Sequence[Unit]) -> list[Unit]:
        """Follow what an earlier runner submitted and did not live to see: measuring it twice would disturb it.

        What it submitted and did not live to write down is ended: nobody knows which unit that is.
        """
        self.run.slurm.mkdir(parents=True, exist_ok=True)
        self._answered_s = time.monotonic()
        known, there = read_jobs(self.run), queued()
        strays = self._of_this_run(there) - set(known.values())
        if strays:
            tell(
                f"  jobs {', '.join(sorted(strays))} were not noted by the runner that submitted them: cancelled"
            )
            self._end(strays)
        for unit in waiting:
            job = known.get(unit.name)
            if job in there:
                self._jobs[unit] = _Job(job, there[job].nodes)
                tell(f"  unit {unit.name}: job {job} of an earlier runner is {there[job].words}")
        return list(self._jobs)

    def _of_this_run(self, there: Mapping[str, Queued]) -> set[str]:
        folder = self.run.slurm.resolve()
        return {job for job, task in there.items() if Path(task.script).parent == folder}

    def free(self, waiting: Sequence[Unit]) -> list[tuple[str, list[Unit]]]:
        """Take all; units that have cells already are asked for on their nodes, while these take jobs.

        An array has its own limit of tasks side by side, so that with ``at_once`` one follows the other.
        """
        one_by_one = self.settings.at_once is not None
        if one_by_one and self._jobs:
            return []
        by_node: dict[str, list[Unit]] = {}
        for unit in waiting:
            begun_on = "" if unit.node is None else unit.node.name
            node = begun_on if begun_on and takes_jobs(begun_on) else ""
            if begun_on and not node:
                tell(f"  unit {unit.name} was begun on {begun_on}, which takes no jobs: it resumes elsewhere")
            by_node.setdefault(node, []).append(unit)
        return list(by_node.items())[: 1 if one_by_one else None]

    def start(self, context: ExecutorContext, place: str, units: Sequence[Unit]) -> None:
        """Submit an array for a node, or for any."""
        try:
            executor = submitit.SlurmExecutor(
                folder=self.run.slurm.resolve(), max_num_timeout=0, python=_PYTHON
            )
            executor.update_parameters(**sbatch_parameters(self.study.name, self.settings, place or None))
            with executor.batch():
                jobs = [
                    executor.submit(
                        measure_unit,
                        str(self.run.root.resolve()),
                        unit.name,
                        [astuple(key) for key in unit.begun_with],
                        context.known_reasons,
                    )
                    for unit in units
                ]
        except (RuntimeError, ValueError, OSError) as error:
            raise RunError(f"executor: slurm: the jobs could not be submitted: {reason_of(error)}") from error
        for unit, job in zip(units, jobs, strict=True):
            self._jobs[unit] = _Job(job.job_id)
            remember_job(self.run, unit.name, job.job_id)
        where = f" for {place}" if place else ""
        submitted = ", ".join(f"{unit.name} as job {self._jobs[unit].number}" for unit in units)
        tell(f"  submitted{where}: {submitted}")

    def poll(self) -> list[Ended]:
        """Find those that have been missing from the queue often enough."""
        try:
            there = queued()
        except RunError as error:
            if time.monotonic() - self._answered_s > _SILENCE_S:
                raise
            self._status = str(error)
            return []
        self._answered_s = time.monotonic()
        ended = []
        for unit, job in list(self._jobs.items()):
            if job.number in there:
                job.missing, job.node = 0, there[job.number].nodes or job.node
                continue
            job.missing += 1
            if job.missing >= _GONE_AFTER:
                del self._jobs[unit]
                where = f" on {job.node}" if job.node else ""
                log = self.run.slurm / f"{job.number}_0_log.out"
                ended.append(Ended(unit, job.node, f"Slurm job {job.number}{where}", log=log))
        ours = [there[job.number] for job in self._jobs.values() if job.number in there]
        self._status = "; ".join(f"{task.job} {task.words}" for task in ours) or "no job is queued"
        return ended

    @property
    def status(self) -> str:
        """Say what the queue says of the jobs."""
        return self._status

    def end_all(self) -> None:
        """Cancel what is ours, and wait until it has ended: nothing is left behind on a node."""
        ours = {job.number for job in self._jobs.values()}
        try:
            ours |= self._of_this_run(queued())  # also those that were submitted this instant
            if ours:
                tell("  cancelling the jobs")
                self._end(ours)
        except RunError as error:
            tell(f"  jobs {', '.join(sorted(ours))} may still run: {error}")

    def _end(self, jobs: Set[str]) -> None:
        cancel(jobs)
        wait_until(lambda: not jobs & queued().keys(), _CANCEL_S, poll_s=min(1.0, self.poll_s))
