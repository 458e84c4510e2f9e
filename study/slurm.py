"""A study on a Slurm cluster: its units become tasks of a job array, are followed, and resubmitted where they are lost.

What counts as done is on disk: a cell whose ``cell.json`` is there. A task that has ended without all of its cells
was lost, whatever became of it. If it had measured none, that is a failed try of each cell that it leaves; otherwise
of the one that it was at. So a task is resubmitted a bounded number of times (``attempts``), and never for a cell that
is there.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from itertools import groupby

import submitit

from configs.executor import Slurm
from configs.schema import Study
from server.processes import last_lines
from starwatt_errors import RunError
from study.persistence import Patience
from study.plan import PlannedCell
from study.slurm_jobs import log_of, read_jobs, remember_job, sbatch_parameters
from study.slurm_queue import Queued, cancel, queued
from traces.attempts import Attempt, note_attempt
from traces.layout import CellKey, RunDir

_SILENCE_S = 600.0
"""A controller that does not answer for so long is given up."""
_CANCEL_S = 60.0
_GONE_AFTER = 2
"""Looks at the queue that a task must be missing from: files of its node may take a moment to be seen here."""
_LAST_LINES = 8
_PYTHON = f"exec {shlex.quote(sys.executable)}"
"""In the place of the batch script's shell: that would fall at the first SIGTERM, and Slurm would think the task ended
while its engine is still being stopped."""
Say = Callable[[str], None]


@dataclass
class Task:
    """A unit of cells, and the job that measures it, if there is one."""

    unit: str
    cells: Sequence[PlannedCell]
    job: str | None = None
    left: frozenset[CellKey] = frozenset()
    """Cells that it lacked when it was submitted."""
    missing: int = 0
    node: str = ""


def units_of(study: Study, cells: Sequence[PlannedCell]) -> list[Task]:
    """What one task each measures: all variants of a block, or the cells of one engine start."""
    assert isinstance(study.executor, Slurm)  # noqa: S101 -- the caller has looked
    by_block = study.executor.unit == "block" and study.engine_restarts == "each_block"

    def name(cell: PlannedCell) -> str:
        return f"b{cell.key.block}" if by_block else f"start{cell.engine_start}"

    return [Task(unit, list(group)) for unit, group in groupby(cells, key=name)]


@dataclass
class Cluster:
    """Submits and follows; ``advance`` is told of each cell that has been measured."""

    run: RunDir
    study: Study
    patience: Patience
    known_reasons: tuple[str, ...]
    say: Say
    announce: Say
    advance: Callable[[PlannedCell], None]
    _tasks: list[Task] = field(default_factory=list)
    _counted: set[CellKey] = field(default_factory=set)
    _answered_s: float = 0.0

    def measure(self, todo: Sequence[PlannedCell]) -> None:
        """Measure all of ``todo``, or give up what fails too often. An interrupt ends the jobs first.

        Raises:
            RunError: Slurm takes no jobs, or does not answer for ten minutes.
        """
        self.run.slurm.mkdir(parents=True, exist_ok=True)
        self._tasks = units_of(self.study, todo)
        self._answered_s = time.monotonic()
        try:
            self._adopt()
            while any(self._left(task) or task.job for task in self._tasks):
                self._submit([task for task in self._tasks if task.job is None and self._left(task)])
                time.sleep(self._settings.poll_s)
                self._look()
        except BaseException:
            self._end_all()
            raise

    @property
    def _settings(self) -> Slurm:
        assert isinstance(self.study.executor, Slurm)  # noqa: S101 -- the caller has looked
        return self.study.executor

    def _left(self, task: Task) -> list[PlannedCell]:
        """Its cells that are neither measured nor given up, in their order."""
        given_up = self.patience.given_up()
        return [
            cell
            for cell in task.cells
            if not (self.run.cell(cell.key) / "cell.json").is_file() and cell.key not in given_up
        ]

    def _adopt(self) -> None:
        """Follow what an earlier runner submitted and did not live to see: measuring it twice would disturb it."""
        known, there = read_jobs(self.run), queued()
        for task in self._tasks:
            job = known.get(task.unit)
            if job in there:
                task.job, task.left = job, frozenset(cell.key for cell in self._left(task))
                task.node = there[job].nodes
                self.say(f"unit {task.unit}: job {job} of an earlier runner is {there[job].words}")

    def _submit(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        from study.slurm_task import measure_unit

        left = {task.unit: [cell.key for cell in self._left(task)] for task in tasks}
        try:
            executor = submitit.SlurmExecutor(
                folder=self.run.slurm.resolve(), max_num_timeout=0, python=_PYTHON
            )
            executor.update_parameters(**sbatch_parameters(self.study.name, self._settings))
            with executor.batch():
                jobs = [
                    executor.submit(
                        measure_unit,
                        str(self.run.root.resolve()),
                        task.unit,
                        [astuple(key) for key in left[task.unit]],
                        self.known_reasons,
                    )
                    for task in tasks
                ]
        except (RuntimeError, ValueError, OSError) as error:
            raise RunError(f"executor: slurm: the jobs could not be submitted: {error}") from error
        for task, job in zip(tasks, jobs, strict=True):
            task.job, task.left, task.missing = job.job_id, frozenset(left[task.unit]), 0
            remember_job(self.run, task.unit, job.job_id)
        self.say(f"submitted: {', '.join(f'{task.unit} as job {task.job}' for task in tasks)}")

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
        self._count()
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

    def _count(self) -> None:
        for task in self._tasks:
            for cell in task.cells:
                finished = (self.run.cell(cell.key) / "cell.json").is_file()
                if finished and cell.key not in self._counted:
                    self._counted.add(cell.key)
                    self.advance(cell)

    def _ended(self, task: Task) -> None:
        """Forget its job; where cells are left it was lost, and these have failed once more."""
        job, task.job = task.job, None
        left = self._left(task)
        if not left or job is None:
            return
        progressed = len(left) < len(task.left)
        where = f" on {task.node}" if task.node else ""
        printed = last_lines(log_of(self.run, job), _LAST_LINES)
        problem = f"Slurm job {job}{where} ended before it had measured this cell; it last said:\n{printed}"
        for cell in left[:1] if progressed else left:
            note_attempt(self.run, Attempt.now(cell.key, problem))
        self.say(f"unit {task.unit}: job {job}{where} was lost with {len(left)} cells left")

    def _end_all(self) -> None:
        """Cancel what is ours, and wait until it has ended: nothing is left behind on a node."""
        ours = {task.job for task in self._tasks if task.job is not None}
        if not ours:
            return
        self.say("cancelling the jobs")
        deadline = time.monotonic() + _CANCEL_S
        try:
            cancel(ours)
            while ours & queued().keys() and time.monotonic() < deadline:
                time.sleep(min(1.0, self._settings.poll_s))
        except RunError as error:
            self.say(f"jobs {', '.join(sorted(ours))} may still run: {error}")


def _words(tasks: Sequence[Queued]) -> str:
    return "; ".join(f"{task.job} {task.words}" for task in tasks) or "no job is queued"
