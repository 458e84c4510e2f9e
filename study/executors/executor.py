"""Define what every executor can do: say what it runs at once, start units of cells, look at them, and end them all.

What belongs to none of them alone (retries, affinity, the ledger, progress) is the loop's: ``study/executors/loop.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from server.power.nvidia.inventory import Gpu
from study.executors.units import Ledger, Unit
from study.measure.checkpoints import Checkpoints
from study.measure.study_run import StudyRun
from study.plan.cells import PlannedCell
from study.plan.rates import Hardware
from study.progress.display import Display
from study.progress.exporter import Exporter


@dataclass(frozen=True)
class Site:
    """Describe what the engines of a study compute on, as far as it is known before anything is started."""

    hardware: Hardware
    """Of one engine."""
    boards: Sequence[Gpu] = ()
    """Those of this machine that are used."""


@dataclass(frozen=True)
class ExecutorContext:
    """Hold what is to be measured, and who hears of it."""

    study_run: StudyRun
    checkpoints: Checkpoints
    known_reasons: tuple[str, ...]
    """Reason codes that every cell gets, known beforehand."""
    ledger: Ledger
    display: Display
    exporter: Exporter | None = None


@dataclass(frozen=True)
class Ended:
    """Tell that the process of a unit has ended, with all of its cells or without."""

    unit: Unit
    place: str
    process: str
    """For people, such as ``Slurm job 7 on n2``."""
    how: str = ""
    log: Path | None = None
    useless: bool = False
    """Cells of the unit could not be measured at that place."""
    final: bool = False
    """It met what no other process will be spared."""


class Executor(Protocol):
    """Measure the units of a study somewhere; ``executor_for`` makes the one that the study names."""

    here: bool = True
    """Whether this machine's boards and processors measure."""
    checked_field: str = "executor"
    """Of the study file: what ``check`` looks at."""
    poll_s: float = 0.0

    @property
    def at_once(self) -> int | None:
        """Count the units that run side by side; None: as many as the cluster has room for. Raises as ``check``."""
        return 1

    def check(self) -> None:
        """Raise a StarwattError where this machine, or the cluster, lacks what the study names."""

    def site(self) -> Site:
        """Look at the hardware; raises as ``check``."""

    def units(self, cells: Sequence[PlannedCell]) -> list[Unit]:
        """Divide the cells into what one process each measures."""

    def adopt(self, waiting: Sequence[Unit]) -> Sequence[Unit]:
        """Follow units that an earlier runner began and did not live to see; return those that are still measured."""
        del waiting
        return ()

    def free(self, waiting: Sequence[Unit]) -> list[tuple[str, list[Unit]]]:
        """Find places that can begin units now, each with those of ``waiting`` that it takes."""

    def start(self, context: ExecutorContext, place: str, units: Sequence[Unit]) -> None:
        """Begin to measure what these units lack.

        Raises:
            RunError: they cannot be begun.
        """

    def poll(self) -> Sequence[Ended]:
        """Find the units whose processes have ended since.

        Raises:
            RunError: nobody can tell any more.
        """

    @property
    def status(self) -> str:
        """Say what is measured just now; empty where the display is told anyway."""
        return ""

    def end_all(self) -> None:
        """End what was begun, and wait until nothing of it is left."""
        return

    def again(self) -> Sequence[PlannedCell]:
        """List cells that are measured once more when all is measured, and are not there yet."""
        return ()

    def is_due(self) -> bool:
        """Say whether some of them can be measured as it stands."""
        return False

    def measure_again(self, context: ExecutorContext) -> None:
        """Measure them."""
        del context
