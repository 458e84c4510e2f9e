"""A study on a Slurm cluster: its units become tasks of a job array, are followed, and resubmitted where they are lost.

What counts as done, and what a lost task means for its cells, is ``study/executors/units.py``'s.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import astuple, dataclass, field
from pathlib import Path

import submitit

from configs.executor import Slurm
from server.process.spawn import last_lines
from starwatt_errors import RunError, reason_of
from study.executors.affinity import all_units, homes_of
from study.executors.slurm_jobs import log_of, read_jobs, remember_job, sbatch_parameters
from study.executors.slurm_queue import Queued, cancel, queued, takes_jobs
from study.executors.units import Errand, Ledger, Unit, units_of
from study.plan.cells import PlannedCell

_SILENCE_S = 600.0
"""A controller that does not answer for so long is given up."""
_CANCEL_S = 60.0
_GONE_AFTER = 2
"""Looks at the queue that a task must be missing from: files of its node may take a moment to be seen here."""
_LAST_LINES = 8
_PYTHON = f"exec {shlex.quote(sys.executable)}"
"""In the place of the batch script's shell: that would fall at the first SIGTERM, and Slurm would think the task ended
while its engine is still being stopped."""


@dataclass
class Task:
    """A unit of cells, and the job that measures it, if there is one."""

    unit: Unit
    job: str | None = None
    missing: int = 0
    node: str = ""


@dataclass
class Cluster(Errand):
    """Submits and follows."""

    _tasks: list[Task] = field(default_factory=list)
    _answered_s: float = 0.0

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.run, self.patience, self.advance)
        self._plan = all_units(self.study)

    def measure(self, todo: Sequence[PlannedCell]) -> None:
        """Measure all of ``todo``, or give up what fails too often. An interrupt ends the jobs first.

        Raises:
            RunError: Slurm takes no jobs, or does not answer for ten minutes.
        """
        self.run.slurm.mkdir(parents=True, exist_ok=True)
        self._tasks = [Task(unit) for unit in units_of(self.study, todo)]
        self._answered_s = time.monotonic()
        try:
            self._adopt()
            while any(self._ledger.left(task.unit) or task.job for task in self._tasks):
                self._submit_waiting()
                time.sleep(self._settings.poll_s)
                self._look()
        except BaseException:
            self._end_all()
            raise

    @property
    def _settings(self) -> Slurm:
        assert isinstance(self.study.executor, Slurm)  # noqa: S101 -- the caller has looked
        return self.study.executor

    def _adopt(self) -> None:
        """Follow what an earlier runner submitted and did not live to see: measuring it twice would disturb it.

        What it submitted and did not live to write down is ended: nobody knows which unit that is.
        """
        known, there = read_jobs(self.run), queued()
        strays = self._of_this_run(there) - set(known.values())
        if strays:
            self.say(
                f"jobs {', '.join(sorted(strays))} were not noted by the runner that submitted them: cancelled"
            )
            self._end(strays)
        for task in self._tasks:
            job = known.get(task.unit.name)
            if job in there:
                task.job, task.node = job, there[job].nodes
                self._ledger.begin(task.unit)
                self.say(f"unit {task.unit.name}: job {job} of an earlier runner is {there[job].words}")

    def _of_this_run(self, there: Mapping[str, Queued]) -> set[str]:
        folder = self.run.slurm.resolve()
        return {job for job, task in there.items() if Path(task.script).parent == folder}

    def _submit_waiting(self) -> None:
        """Units that have cells already are asked for on their nodes, while these take jobs.

        An array has its own limit of tasks side by side, so that with ``at_once`` one follows the other.
        """
        one_by_one = self._settings.at_once is not None
        if one_by_one and any(task.job for task in self._tasks):
            return
        waiting = [task for task in self._tasks if task.job is None and self._ledger.left(task.unit)]
        homes = homes_of(self._ledger, self._plan, {task.unit.name for task in waiting})
        by_node: dict[str, list[Task]] = {}
        for task in waiting:
            home = homes.get(task.unit.name)
            node = home.name if home is not None and takes_jobs(home.name) else ""
            if home is not None and not node:
                self.say(
                    f"unit {task.unit.name} was begun on {home.name}, which takes no jobs: it goes on elsewhere"
                )
            by_node.setdefault(node, []).append(task)
        for node, tasks in by_node.items():
            self._submit(tasks, node or None)
            if one_by_one:
                break

    def _submit(self, tasks: Sequence[Task], node: str | None) -> None:
        from study.executors.unit_task import measure_unit

        try:
            executor = submitit.SlurmExecutor(
                folder=self.run.slurm.resolve(), max_num_timeout=0, python=_PYTHON
            )
            executor.update_parameters(**sbatch_parameters(self.study.name, self._settings, node))
            with executor.batch():
                jobs = [
                    executor.submit(
                        measure_unit,
                        str(self.run.root.resolve()),
                        task.unit.name,
                        [astuple(key) for key in self._ledger.begin(task.unit)],
                        self.known_reasons,
                    )
                    for task in tasks
                ]
        except (RuntimeError, ValueError, OSError) as error:
            raise RunError(f"executor: slurm: the jobs could not be submitted: {reason_of(error)}") from error
        for task, job in zip(tasks, jobs, strict=True):
            task.job, task.missing = job.job_id, 0
            remember_job(self.run, task.unit.name, job.job_id)
        where = f" for {node}" if node else ""
        self.say(f"submitted{where}: {', '.join(f'{task.unit.name} as job {task.job}' for task in tasks)}")

    def _look(self) -> None:
        """What has been measured since, and which tasks have ended."""
        try:
            there = queued()
        except RunError as error:
            if time.monotonic() - self._answered_s > _SILENCE_S:
                raise
            self.announce(str(error))
            return
        self._answered_s = time.monotonic()
        self._ledger.count([task.unit for task in self._tasks])
        for task in self._tasks:
            if task.job is None:
                continue
            if task.job in there:
                task.missing, task.node = 0, there[task.job].nodes or task.node
                continue
            task.missing += 1
            if task.missing >= _GONE_AFTER:
                self._ended(task)
        self.announce(_words([there[task.job] for task in self._tasks if task.job in there]))

    def _ended(self, task: Task) -> None:
        """Forget its job; where cells are left it was lost."""
        job, task.job = task.job, None
        if job is None or not self._ledger.left(task.unit):
            return
        where = f" on {task.node}" if task.node else ""
        printed = last_lines(log_of(self.run, job), _LAST_LINES)
        left = self._ledger.lost(
            task.unit,
            f"Slurm job {job}{where} ended before it had measured this cell; it last said:\n{printed}",
        )
        self.say(f"unit {task.unit.name}: job {job}{where} was lost with {left} cells left")

    def _end_all(self) -> None:
        """Cancel what is ours, and wait until it has ended: nothing is left behind on a node."""
        ours = {task.job for task in self._tasks if task.job is not None}
        try:
            ours |= self._of_this_run(queued())  # also those that were submitted this instant
            if ours:
                self.say("cancelling the jobs")
                self._end(ours)
        except RunError as error:
            self.say(f"jobs {', '.join(sorted(ours))} may still run: {error}")

    def _end(self, jobs: Set[str]) -> None:
        cancel(jobs)
        deadline = time.monotonic() + _CANCEL_S
        while jobs & queued().keys() and time.monotonic() < deadline:
            time.sleep(min(1.0, self._settings.poll_s))


def _words(tasks: Sequence[Queued]) -> str:
    return "; ".join(f"{task.job} {task.words}" for task in tasks) or "no job is queued"
