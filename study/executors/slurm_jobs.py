"""The jobs of a run: how they are asked for, and which were submitted."""

from __future__ import annotations

import json
import os
from typing import Any

from configs.executor import Slurm
from traces.layout import RunDir


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
