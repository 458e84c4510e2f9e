"""Engines of one machine side by side: each unit of cells is measured by a process of its own, on a slot.

A slot has boards, CPUs, a sidecar that reads these boards alone, and ports of its own. Its process is the runner of its
unit (``study/executors/unit_task.py``); this one hands out units, sees what has been measured, and begins anew what was
lost. A unit that has cells already goes on where these were measured: they are compared with each other, and boards
differ.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from server.process.spawn import last_lines, spawn, stop_group
from starwatt_errors import RunError
from study.executors.affinity import all_units, homes_of
from study.executors.slot_protocol import END_THE_STUDY, LOST, SlotOrder
from study.executors.slots import Slot
from study.executors.units import Errand, Ledger, Unit, units_of
from study.plan.cells import PlannedCell
from study.records.this_node import slot_of

_POLL_S, _COUNT_S = 0.2, 2.0
"""How often is looked for ends of processes, and for new cells: beside engines that are being measured."""
_GRACE_S = 60.0
"""Of a process that is told to end: it stops its engine, its sidecar and its load."""
_LAST_LINES = 8


@dataclass
class _Busy:
    unit: Unit
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Crew(Errand):
    """The processes of a study's slots."""

    slots: Sequence[Slot]
    locks: Path
    """Where the slots' locks lie: one slot has one, whatever is measured on it."""

    def __post_init__(self) -> None:
        self._busy: dict[str, _Busy] = {}  # by a slot's name
        self._measured = 0
        self._counted_s = 0.0
        self._homes: dict[str, str] = {}  # the slot of a unit that has been begun
        self._used: set[str] = set()  # slots, and those of them that could measure nothing
        self._useless: set[str] = set()
        self._ledger = Ledger(self.run, self.patience, self._one_more)

    def measure(self, todo: Sequence[PlannedCell]) -> None:
        """Measure all of ``todo``, or give up what fails too often; an interrupt ends all slots first.

        Raises:
            RunError: nothing at all could be measured, or a slot met what no other will be spared.
        """
        waiting = units_of(self.study, todo)
        self._find_homes(all_units(self.study), {unit.name for unit in waiting})
        with self._ended_in_order():
            while waiting or self._busy:
                self._hand_out(waiting)
                time.sleep(_POLL_S)
                self._count()
                waiting += self._look()

    def measure_on(self, slot: Slot, cell: PlannedCell) -> None:
        """Measure one cell while no other slot does anything; raises as ``measure``."""
        unit = Unit(f"b{cell.key.block}", [cell])
        with self._ended_in_order():
            while self._ledger.left(unit):
                self._start(slot, unit)
                while self._busy:
                    time.sleep(_POLL_S)
                    self._look()
        self._ledger.count([unit])

    def _one_more(self, cell: PlannedCell) -> None:
        self._measured += 1
        self.advance(cell)

    def _hand_out(self, waiting: list[Unit]) -> None:
        for slot in self.slots:
            for unit in [one for one in waiting if self._homes.get(one.name, slot.name) == slot.name]:
                if slot.name in self._busy:
                    break
                waiting.remove(unit)
                if self._ledger.left(unit):
                    self._start(slot, unit)

    def _find_homes(self, units: Sequence[Unit], wanted: Set[str]) -> None:
        here = {slot.name for slot in self.slots}
        for name, node in homes_of(self._ledger, units, wanted).items():
            slot = slot_of(node)
            if slot in here:
                self._homes[name] = slot

    def _start(self, slot: Slot, unit: Unit) -> None:
        folder = self.run.slots
        folder.mkdir(parents=True, exist_ok=True)
        order, log = folder / f"{unit.name}.json", folder / f"{unit.name}-{slot.name}.log"
        locks = self.locks / f"{slot.name}.lock", folder / f"{unit.name}.lock"
        SlotOrder(
            str(self.run.root.resolve()),
            unit.name,
            tuple(self._ledger.begin(unit)),
            self.known_reasons,
            tuple(str(lock.resolve()) for lock in locks),
        ).write(order)
        with log.open("ab") as printed:
            process = spawn(
                [sys.executable, "-m", "study.executors.slot_task", str(order.resolve())],
                stdout=printed,
                stderr=printed,
                environment=slot.environment(),
                cpus=slot.cpus,
            )
        self._busy[slot.name] = _Busy(unit, process, log)
        self._used.add(slot.name)
        self.say(f"{slot.name}: unit {unit.name}")

    def _look(self) -> list[Unit]:
        """Units whose processes have ended without all of their cells, to be begun again."""
        again = []
        for name, busy in list(self._busy.items()):
            code = busy.process.poll()
            if code is None:
                continue
            stop_group(busy.process, grace_s=_GRACE_S)
            del self._busy[name]
            printed = last_lines(busy.log, _LAST_LINES)
            self._ledger.count([busy.unit])
            if code == LOST:
                self._useless.add(name)
            if code == END_THE_STUDY or (not self._measured and self._useless == self._used):
                raise RunError(f"{name}: unit {busy.unit.name} ended; it last said:\n{printed}")
            if self._ledger.left(busy.unit):
                problem = f"the process of {name} ended ({_how(code)}) before it had measured this cell; it last said:"
                left = self._ledger.lost(busy.unit, f"{problem}\n{printed}")
                self.say(f"{name}: unit {busy.unit.name} was lost with {left} cells left ({_how(code)})")
                again.append(busy.unit)
        self._find_homes(again, {unit.name for unit in again})
        return again

    def _count(self) -> None:
        """New cells of the units that are being measured; seldom, for it looks at the files of them all."""
        if time.monotonic() - self._counted_s < _COUNT_S:
            return
        self._counted_s = time.monotonic()
        self._ledger.count([busy.unit for busy in self._busy.values()])
        self.announce("; ".join(f"{name} measures {busy.unit.name}" for name, busy in self._busy.items()))

    @contextlib.contextmanager
    def _ended_in_order(self) -> Iterator[None]:
        """Whatever happens, no slot's process is left."""
        try:
            yield
        finally:
            for busy in self._busy.values():
                busy.process.terminate()  # all at once, then each is waited for
            for busy in self._busy.values():
                stop_group(busy.process, grace_s=_GRACE_S)
            self._busy.clear()


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
