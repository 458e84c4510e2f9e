"""``executor: side_by_side``: engines of one machine at once, each unit of cells in a process of its own on a slot.

A slot has boards, CPUs, a sidecar that reads these boards alone, and ports of its own. Its process is the runner of its
unit (``study/executors/unit_task.py``). When all is measured, one cell of every block is measured again with nobody
beside it (``study/executors/interference.py``).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from configs.executor import SideBySide
from configs.schema import Study
from server.power.nvidia.inventory import gpu_inventory
from server.process.spawn import spawn, stop_group
from study.executors.executor import Ended, Executor, ExecutorContext, Site
from study.executors.interference import AloneCheck, check_cells, check_of, measure_alone
from study.executors.slots import Slot, slots_of
from study.executors.unit_task import END_THE_STUDY, LOST
from study.executors.units import Unit, units_of
from study.plan.cells import PlannedCell
from study.plan.rates import boards_for, cpus_for
from study.progress.display import tell
from study.records.node_manifests import gather_nodes
from study.records.this_node import slot_of
from traces.atomic import write_json
from traces.layout import RunDir

_GRACE_S = 60.0
"""Of a process that is told to end: it stops its engine, its sidecar and its load."""


@dataclass(frozen=True)
class _Busy:
    unit: Unit
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class SideBySideExecutor(Executor):
    """Run the processes of a study's slots."""

    study: Study
    run: RunDir
    settings: SideBySide
    locks: Path
    """Where the slots' locks lie: one slot has one, whatever is measured on it."""
    one_by_one: bool = False
    """Whether nothing is measured beside anything."""
    poll_s = 0.2
    _busy: dict[str, _Busy] = field(default_factory=dict)
    """By a slot's name."""

    @cached_property
    def slots(self) -> Sequence[Slot]:
        """Find the slots once; raises as ``slots_of``."""
        return slots_of(self.settings, self.study.meter_settings.gpus)

    @property
    def at_once(self) -> int:
        """Count the slots."""
        return len(self.slots)

    def check(self) -> None:
        """Raises UsageError where a slot's board or CPU is not here."""
        slots_of(self.settings, self.study.meter_settings.gpus)

    def site(self) -> Site:
        """Look at all boards of the machine, unless the meters are told to leave some out."""
        study, here, slot = self.study, gpu_inventory(), self.slots[0]
        boards = boards_for([gpu.name for gpu in here], study.engine)
        chosen = study.meter_settings.gpus
        return Site(
            boards if slot.boards else cpus_for(len(slot.cpus)),
            [gpu for gpu in here if chosen is None or gpu.uuid in chosen],
        )

    def units(self, cells: Sequence[PlannedCell]) -> list[Unit]:
        """Take blocks or engine starts."""
        return units_of(self.study, cells, by_block=self.settings.unit == "block")

    def free(self, waiting: Sequence[Unit]) -> list[tuple[str, list[Unit]]]:
        """Give each idle slot the first unit that was begun there or nowhere."""
        idle = [slot.name for slot in self.slots if slot.name not in self._busy]
        if not idle or (self.one_by_one and self._busy):
            return []
        there = {slot.name for slot in self.slots}
        begun_on = {unit: slot for unit in waiting if (slot := slot_of(unit.node)) in there}
        left, places = list(waiting), []
        for name in idle:
            unit = next((unit for unit in left if begun_on.get(unit, name) == name), None)
            if unit is not None:
                left.remove(unit)
                places.append((name, [unit]))
        return places[: 1 if self.one_by_one else None]

    def start(self, context: ExecutorContext, place: str, units: Sequence[Unit]) -> None:
        """Start a process in a group of its own."""
        [unit] = units
        [slot] = [slot for slot in self.slots if slot.name == place]
        folder = self.run.slots
        folder.mkdir(parents=True, exist_ok=True)
        order, log = folder / f"{unit.name}.json", folder / f"{unit.name}-{slot.name}.log"
        locks = self.locks / f"{slot.name}.lock", folder / f"{unit.name}.lock"
        told = {
            "root": str(self.run.root.resolve()),
            "unit": unit.name,
            "keys": [astuple(key) for key in unit.begun_with],
            "known_reasons": context.known_reasons,
            "locks": [str(lock.resolve()) for lock in locks],
        }
        write_json(order, told)
        with log.open("ab") as printed:
            process = spawn(
                [sys.executable, "-P", "-m", "study.executors.unit_task", str(order.resolve())],
                stdout=printed,
                stderr=printed,
                environment=slot.environment(),
                cpus=slot.cpus,
            )
        self._busy[slot.name] = _Busy(unit, process, log)
        tell(f"  {slot.name}: unit {unit.name}")

    def poll(self) -> list[Ended]:
        """Look at the exit codes of the processes."""
        ended = []
        for name, busy in list(self._busy.items()):
            code = busy.process.poll()
            if code is None:
                continue
            stop_group(busy.process, grace_s=_GRACE_S)
            del self._busy[name]
            how = f" (exit code {code})" if code >= 0 else f" (signal {-code})"
            ended.append(
                Ended(
                    busy.unit,
                    name,
                    f"the process of {name}",
                    how,
                    busy.log,
                    useless=code == LOST,
                    final=code == END_THE_STUDY,
                )
            )
        return ended

    @property
    def status(self) -> str:
        """Say which slot measures what."""
        return "; ".join(f"{name} measures {busy.unit.name}" for name, busy in self._busy.items())

    def end_all(self) -> None:
        """Tell all at once to end, then wait for each."""
        for busy in self._busy.values():
            busy.process.terminate()
        for busy in self._busy.values():
            stop_group(busy.process, grace_s=_GRACE_S)
        self._busy.clear()

    def again(self) -> list[PlannedCell]:
        """List the cells of the check of neighbours."""
        return check_cells(self.study, self.run, self.settings.neighbours)

    def is_due(self) -> bool:
        """Say whether a block was measured on a slot that is still here, and more than one is."""
        return self._check() is not None

    def _check(self) -> AloneCheck | None:
        return check_of(self.study, self.run, self.settings.neighbours, lambda: self.slots)

    def measure_again(self, context: ExecutorContext) -> None:
        """Measure each with nobody beside it; a check that fails ends no study."""
        gather_nodes(self.run)
        check = self._check()
        if check is not None:
            alone = replace(self, study=check.study, run=check.run, one_by_one=True)
            measure_alone(check, self.run, alone, context)
