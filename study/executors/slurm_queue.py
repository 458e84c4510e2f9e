"""Slurm's own commands: what is queued, and how to end it. (``sacct`` takes a database; ``squeue`` does not.)

And the jobs of a run: how they are asked for, and which were submitted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from configs.executor import Slurm
from starwatt_errors import RunError
from traces.layout import RunDir

_TIMEOUT_S = 60.0
_UP = ("idle", "mixed", "allocated", "completing", "planned", "reserved")
"""States of nodes; one that does not answer has a ``*`` behind it."""


@dataclass(frozen=True)
class Queued:
    """A task that is waiting, running or ending."""

    job: str
    """``JOB`` or ``JOB_INDEX``, as submitit names it."""
    state: str
    nodes: str
    reason: str
    script: str
    """What was submitted: a file in the folder of its run."""

    @property
    def words(self) -> str:
        """Say what becomes of the task, for people."""
        return f"{self.state.lower()} on {self.nodes}" if self.nodes else f"waiting ({self.reason})"


def check_cluster(settings: Slurm) -> None:
    """Check that jobs can be submitted from here, to the partitions that the study names.

    Raises:
        RunError: Slurm's commands are missing, do not answer, or know no such partition.
    """
    missing = [command for command in ("sbatch", "squeue", "scancel") if shutil.which(command) is None]
    if missing:
        raise _not_here(missing[0])
    queued()
    for name in (settings.partition or "").split(","):
        asked = ["sinfo", "--noheader", f"--partition={name}", "--format=%R"]
        if name and not _asked(asked).strip():
            raise RunError(f"executor: slurm: there is no partition {name}; sinfo lists those there are")


def queued() -> dict[str, Queued]:
    """Return this user's tasks, by job; those that have ended are not among them.

    Raises:
        RunError: Slurm does not answer.
    """
    lines = _asked(["squeue", "--me", "--array", "--noheader", "--format=%i|%T|%N|%r|%o"]).splitlines()
    rows = [line.strip().split("|", 4) for line in lines if line.count("|") >= 4]
    return {job: Queued(job, *told) for job, *told in rows}


def takes_jobs(node: str) -> bool:
    """Say whether a job that asks for this node alone is going to run; not where nothing is known of it."""
    try:
        states = _asked(["sinfo", "--Node", "--noheader", f"--nodes={node}", "--format=%T"]).split()
    except RunError:
        return False
    return any(state in _UP for state in states)


def cancel(jobs: Iterable[str]) -> None:
    """End these tasks; those that have ended already stay so.

    Raises:
        RunError: Slurm does not answer.
    """
    named = sorted(jobs)
    if named:
        _asked(["scancel", "--quiet", *named])


def _asked(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise _not_here(command[0]) from error
    except subprocess.TimeoutExpired as error:
        raise RunError(f"executor: slurm: {command[0]} did not answer within {_TIMEOUT_S:g} s") from error
    if done.returncode:
        raise RunError(f"executor: slurm: {' '.join(command[:2])}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _not_here(command: str) -> RunError:
    return RunError(
        f"executor: slurm: there is no {command} here: start the study on a machine of the cluster"
    )


def remember_job(run: RunDir, unit: str, job: str) -> None:
    """Write down, before anything else is done, which job measures a unit."""
    with (run.slurm / "jobs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"unit": unit, "job": job}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_jobs(run: RunDir) -> dict[str, str]:
    """Return the job that was submitted last for each unit; a line that a kill has torn is left out."""
    try:
        lines = (run.slurm / "jobs.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    jobs: dict[str, str] = {}
    for line in lines:
        try:
            told = json.loads(line)
            jobs[told["unit"]] = told["job"]
        except (ValueError, KeyError):
            continue
    return jobs


def sbatch_parameters(name: str, settings: Slurm, node: str | None = None) -> dict[str, Any]:
    """Return what submitit takes, for this node alone or any. The batch step itself measures: it has all that the task
    was given."""
    parameters = {
        "job_name": f"starwatt-{name}",
        "time": settings.time_min,
        "nodes": 1,
        "ntasks_per_node": 1,
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "nodelist": node,
        "gpus_per_node": settings.gpus or None,
        "cpus_per_task": settings.cpus,
        "mem": None if settings.memory_gib is None else f"{round(settings.memory_gib * 1024)}M",
        "exclusive": True if settings.exclusive else None,
        "array_parallelism": settings.at_once,
        "use_srun": False,
        "stderr_to_stdout": True,
        "additional_parameters": dict(settings.options),
    }
    return {name: value for name, value in parameters.items() if value is not None}
