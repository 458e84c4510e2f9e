"""Say where a study's cells are measured: on this machine, on several of its GPUs, or by jobs of a cluster."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from configs.files.strict import BoardCount, Cpu, Line, Many, StrictModel, inconsistent


class Slurm(StrictModel):
    """A job array on a cluster whose nodes share this file system; each of its tasks measures one unit of cells."""

    kind: Literal["slurm"] = "slurm"
    unit: Literal["block", "engine_start"] = Field(
        default="block",
        description="What one task measures. block: all variants of a block on one node, so that contrasts hold no"
        " difference of nodes; with engine_restarts: once it is always engine_start, and with {resident: auto}"
        " what lies between two starts of all engines",
    )
    partition: Line | None = Field(default=None, description="null: the cluster's default")
    account: Line | None = Field(default=None, description="Who pays")
    qos: Line | None = Field(default=None, description="Quality of service")
    constraint: Line | None = Field(default=None, description="Features that a node must have")
    gpus: int = Field(default=1, ge=0, le=1024, description="GPUs that each task gets")
    cpus: int | None = Field(
        default=None, ge=1, le=65536, description="CPUs that each task gets; null: Slurm's default"
    )
    memory_gib: float | None = Field(
        default=None, gt=0, le=1_000_000, description="Of each task; null: Slurm's default"
    )
    exclusive: bool = Field(
        default=True, description="No other job on a task's node: its power would be in the figures"
    )
    time_min: int = Field(
        default=240, ge=1, le=525_600, description="A task's time limit; what it did not reach is resubmitted"
    )
    at_once: int | None = Field(
        default=None, ge=1, le=100_000, description="Tasks side by side at most; null: as many as fit"
    )
    options: dict[Line, Line | int | bool] = Field(
        default={}, description="Further options of sbatch, by their long names"
    )
    poll_s: float = Field(default=10.0, gt=0, le=3600, description="How often squeue is asked")


class SlotSettings(StrictModel):
    """One place of a machine where an engine is measured beside others: its boards and its CPUs."""

    gpus: Many[Annotated[int, Field(ge=0, le=1023)] | Line] = Field(
        default=(), description="Numbers (as nvidia-smi has them) or UUIDs; none: an engine of the CPUs"
    )
    cpus: Many[Cpu] | None = Field(
        default=None, description="CPU numbers of engine, load and sidecar; null: an equal share of all"
    )


class NeighbourCheck(StrictModel):
    """Say which cell is measured again with nobody beside it, once in every block, where the block was measured."""

    variant: str | None = Field(default=None, description="null: the baseline")
    load: str | None = Field(
        default=None, description="A load's name; null: the last of the loads that looks for no rate"
    )


class SideBySide(StrictModel):
    """Blocks on several GPUs of this machine at once, each on boards and CPUs of its own."""

    kind: Literal["side_by_side"] = "side_by_side"
    unit: Literal["block", "engine_start"] = Field(
        default="block",
        description="What a slot measures at a time. block: all variants of a block on the same boards, so that"
        " contrasts hold no difference of boards; with engine_restarts: once it is always engine_start",
    )
    gpus_each: BoardCount = Field(default=1, description="Boards of each slot, where slots are not named")
    slots: Many[SlotSettings] | None = Field(
        default=None, min_length=1, description="null: as many as there are boards for"
    )
    neighbours: NeighbourCheck | None = Field(
        default=NeighbourCheck(), description="Measures whether neighbours disturb each other; null: no check"
    )

    @property
    def boards_each(self) -> int:
        """Return how many boards the smallest slot has; 0: engines of the CPUs."""
        return min((len(slot.gpus) for slot in self.slots or ()), default=self.gpus_each)

    @model_validator(mode="after")
    def _apart(self) -> SideBySide:
        slots = self.slots or ()
        boards = [gpu for slot in slots for gpu in slot.gpus]
        cpus = [cpu for slot in slots for cpu in slot.cpus or ()]
        some_have_boards = len({bool(slot.gpus) for slot in slots}) > 1
        some_name_cpus = len({slot.cpus is None for slot in slots}) > 1
        wrong = {
            "gives a board to two slots": len(set(boards)) < len(boards),
            "has slots with boards and slots without: their figures could not be compared": some_have_boards,
            "names the CPUs of some slots: name them for all, or for none": some_name_cpus,
            "gives a CPU to two slots: each would be in the other's figures": len(set(cpus)) < len(cpus),
            "gives a slot no CPU": any(slot.cpus == () for slot in slots),
        }
        for words, is_so in wrong.items():
            if is_so:
                raise inconsistent("slots", words)
        return self


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, dict) else getattr(value, "kind", value)


Executor = Annotated[
    Annotated[Literal["local"], Tag("local")]
    | Annotated[Slurm, Tag("slurm")]
    | Annotated[SideBySide, Tag("side_by_side")],
    Discriminator(_kind),
]
"""One of them; told apart by its name, so that what is wrong in one is not also said of the others."""
