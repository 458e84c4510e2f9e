"""Where a study's cells are measured: on this machine, or by jobs of a Slurm cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.strict import StrictModel


class Slurm(StrictModel):
    """A job array on a cluster whose nodes share this file system; each of its tasks measures one unit of cells."""

    kind: Literal["slurm"] = "slurm"
    unit: Literal["block", "engine_start"] = Field(
        default="block",
        description="What one task measures. block: all variants of a block on one node, so that contrasts hold no"
        " difference of nodes; with engine_restarts: once it is always engine_start",
    )
    partition: str | None = Field(default=None, description="null: the cluster's default")
    account: str | None = Field(default=None, description="Who pays")
    qos: str | None = Field(default=None, description="Quality of service")
    constraint: str | None = Field(default=None, description="Features that a node must have")
    gpus: int = Field(default=1, ge=0, description="GPUs that each task gets")
    cpus: int | None = Field(
        default=None, ge=1, description="CPUs that each task gets; null: Slurm's default"
    )
    memory_gib: float | None = Field(default=None, gt=0, description="Of each task; null: Slurm's default")
    exclusive: bool = Field(
        default=True, description="No other job on a task's node: its power would be in the figures"
    )
    time_min: int = Field(
        default=240, ge=1, description="A task's time limit; what it did not reach is resubmitted"
    )
    at_once: int | None = Field(
        default=None, ge=1, description="Tasks side by side at most; null: as many as fit"
    )
    options: dict[str, str | int | bool] = Field(
        default={}, description="Further options of sbatch, by their long names"
    )
    poll_s: float = Field(default=10.0, gt=0, description="How often squeue is asked")
